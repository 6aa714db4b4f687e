"""The intersection RNN (Nayebi et al. 2018; docs/papers.md A.3): separate paths for time (state) and depth (output)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ventralstream.cells.base import Cell, Drive, State, mix
from ventralstream.cells.registry import register_cell
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.specs import Conv, Shape, spatial
from ventralstream.spec import CellSpec
from ventralstream.values import Real, Side


class IntersectionRNNCell(Cell):
    """gh, h, gy, y = W * [x, s]; s' = sig(gh + 1) s + (1 - sig(gh + 1)) tanh(h).

    The output is sig(gy + 1) x + (1 - sig(gy + 1)) relu(y).
    """

    pure = ("drive", "update")

    def __init__(self, spec: IntersectionRNN, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.channels = channels
        self.from_input = Conv2d(Conv(4 * channels, spec.kernel), channels)
        self.from_state = Conv2d(Conv(4 * channels, spec.kernel, bias=False), channels)

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return (shape,)

    def drive(self, x: Tensor) -> Drive:
        return self.from_input(x), x

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        gate_h, new_h, gate_y, new_y = (drive[0] + self.from_state(state[0])).chunk(4, 1)
        keep_h = torch.sigmoid(gate_h + self.spec.forget_bias)
        keep_y = torch.sigmoid(gate_y + self.spec.forget_bias)
        output = mix(keep_y, drive[1], torch.relu(new_y))
        return output, (mix(keep_h, state[0], torch.tanh(new_h)),)


@register_cell("intersection_rnn")
@dataclass(frozen=True)
class IntersectionRNN(CellSpec):
    """The intersection RNN; its state has the input's channels.

    Attributes:
        kernel: Side of the kernels.
        forget_bias: Added to both gates.
    """

    kernel: Side = 3
    forget_bias: Real = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        return spatial("intersection_rnn", shape)

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> IntersectionRNNCell:
        return IntersectionRNNCell(self, shape[0])
