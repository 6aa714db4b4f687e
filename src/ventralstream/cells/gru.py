"""The convolutional GRU (Nayebi et al. 2018; docs/papers.md A.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State, mix
from ventralstream.cells.registry import register_cell
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.specs import Conv, Shape, spatial
from ventralstream.spec import CellSpec
from ventralstream.values import Real, Side, Width


class GRUCell(Cell):
    """r, u = sig(W_g * [x, h] + (1, 0)); h' = u h + (1 - u) tanh(W_c * [x, r h]).

    The convolutions of [x, h] are split into those of x, done in `drive`, and those of h.
    """

    pure = ("drive", "update")

    def __init__(self, spec: GRU, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.channels = spec.channels or channels
        self.from_input = Conv2d(Conv(3 * self.channels, spec.kernel), channels)
        self.from_state = Conv2d(Conv(2 * self.channels, spec.kernel, bias=False), self.channels)
        self.candidate = Conv2d(Conv(self.channels, spec.kernel, bias=False), self.channels)

    def start(self) -> None:
        """The gates' biases start at 1."""
        nn.init.constant_(self.from_input.conv.bias[: 2 * self.channels], 1.0)  # type: ignore[index]

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return ((self.channels, *shape[1:]),)

    def drive(self, x: Tensor) -> Drive:
        gates, candidate = self.from_input(x).split((2 * self.channels, self.channels), 1)
        return gates, candidate

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        (h,) = state
        reset, keep = (drive[0] + self.from_state(h)).chunk(2, 1)
        reset = torch.sigmoid(reset + self.spec.forget_bias)
        keep = torch.sigmoid(keep)
        new = torch.tanh(drive[1] + self.candidate(reset * h))
        h = mix(keep, h, new)
        return h, (h,)


@register_cell("gru")
@dataclass(frozen=True)
class GRU(CellSpec):
    """The GRU.

    Attributes:
        channels: Channels of the state; 0 takes those of the input.
        kernel: Side of all kernels.
        forget_bias: Added to the reset gate.
    """

    channels: Width = 0
    kernel: Side = 3
    forget_bias: Real = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = spatial("gru", shape)
        return (self.channels or channels, height, width)

    @property
    def sets_channels(self) -> bool:
        return self.channels > 0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> GRUCell:
        return GRUCell(self, shape[0])
