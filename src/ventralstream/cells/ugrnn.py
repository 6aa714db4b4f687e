"""The update-gate RNN (Nayebi et al. 2018; docs/papers.md A.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ventralstream.cells.base import Cell, Drive, State, mix
from ventralstream.cells.registry import register_cell
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.specs import Conv, Shape, spatial
from ventralstream.spec import CellSpec
from ventralstream.values import Real, Side, Width


class UGRNNCell(Cell):
    """g, c = W * [x, h]; h' = sig(g + 1) h + (1 - sig(g + 1)) tanh(c)."""

    pure = ("drive", "update")

    def __init__(self, spec: UGRNN, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.channels = spec.channels or channels
        self.from_input = Conv2d(Conv(2 * self.channels, spec.kernel), channels)
        self.from_state = Conv2d(Conv(2 * self.channels, spec.kernel, bias=False), self.channels)

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return ((self.channels, *shape[1:]),)

    def drive(self, x: Tensor) -> Drive:
        return (self.from_input(x),)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        gate, new = (drive[0] + self.from_state(state[0])).chunk(2, 1)
        h = mix(torch.sigmoid(gate + self.spec.forget_bias), state[0], torch.tanh(new))
        return h, (h,)


@register_cell("ugrnn")
@dataclass(frozen=True)
class UGRNN(CellSpec):
    """The update-gate RNN.

    Attributes:
        channels: Channels of the state; 0 takes those of the input.
        kernel: Side of the kernels.
        forget_bias: Added to the gate.
    """

    channels: Width = 0
    kernel: Side = 3
    forget_bias: Real = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = spatial("ugrnn", shape)
        return (self.channels or channels, height, width)

    @property
    def sets_channels(self) -> bool:
        return self.channels > 0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> UGRNNCell:
        return UGRNNCell(self, shape[0])
