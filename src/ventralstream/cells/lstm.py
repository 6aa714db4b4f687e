"""The convolutional LSTM with peepholes and layer normalisation (Nayebi et al. 2018; docs/papers.md A.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.errors import VentralError
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import LAYER_NORM, Conv, Shape, spatial
from ventralstream.spec import CellSpec
from ventralstream.values import Real, Side, Width


class LSTMCell(Cell):
    """i, j, f, o = W * [x, h]; c' = c sig(f + b) + sig(i) tanh(j); h' = tanh(c') sig(o).

    Peepholes add w c to i, f and o, all with the old c, as the published code does. Layer normalisation applies to i,
    j, f, o (before the peepholes and the forget bias) and to c', which is carried as normalised.
    """

    pure = ("drive", "update")

    def __init__(self, spec: LSTM, shape: Shape) -> None:
        super().__init__()
        self.spec = spec
        self.channels = spec.channels or shape[0]
        self.from_input = Conv2d(Conv(4 * self.channels, spec.kernel), shape[0])
        self.from_state = Conv2d(Conv(4 * self.channels, spec.kernel, bias=False), self.channels)
        names = ("input", "transform", "forget", "output", "state")
        self.norms = nn.ModuleDict({n: StepNorm(LAYER_NORM, self.channels) for n in names}) if spec.layer_norm else None
        # in the order input, forget, output
        self.peepholes = nn.Parameter(torch.zeros(3, self.channels, *shape[1:])) if spec.peepholes else None

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        if self.peepholes is not None and self.peepholes.shape[2:] != torch.Size(shape[1:]):
            raise VentralError(
                f"this LSTM's peepholes are maps of {tuple(self.peepholes.shape[2:])}, so it cannot run on maps of"
                f" {tuple(shape[1:])}; give the network its nominal input size"
            )
        part = (self.channels, *shape[1:])
        return (part, part)

    def drive(self, x: Tensor) -> Drive:
        return (self.from_input(x),)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        c, h = state
        i, j, f, o = (drive[0] + self.from_state(h)).chunk(4, 1)
        if self.norms is not None:
            i, j = self.norms["input"](i, step), self.norms["transform"](j, step)
            f, o = self.norms["forget"](f, step), self.norms["output"](o, step)
        if self.peepholes is not None:
            i, f, o = (torch.addcmul(g, w, c) for g, w in zip((i, f, o), self.peepholes, strict=True))
        c = torch.addcmul(c * torch.sigmoid(f + self.spec.forget_bias), torch.sigmoid(i), torch.tanh(j))
        if self.norms is not None:
            c = self.norms["state"](c, step)
        h = torch.tanh(c) * torch.sigmoid(o)
        return h, (c, h)


@register_cell("lstm")
@dataclass(frozen=True)
class LSTM(CellSpec):
    """The LSTM.

    Attributes:
        channels: Channels of the state; 0 takes those of the input.
        kernel: Side of the kernels.
        forget_bias: Added to the forget gate.
        peepholes: Full maps [channels, height, width], so the network then runs at its nominal input size only.
        layer_norm: Normalises the gates and the cell.
    """

    channels: Width = 0
    kernel: Side = 3
    forget_bias: Real = 1.0
    peepholes: bool = False
    layer_norm: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = spatial("lstm", shape)
        result = (self.channels or channels, height, width)
        return LAYER_NORM.output_shape(result) if self.layer_norm else result

    @property
    def sets_channels(self) -> bool:
        return self.channels > 0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> LSTMCell:
        return LSTMCell(self, shape)
