"""The simple (vanilla) convolutional RNN (Nayebi et al. 2018; docs/papers.md A.3)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.layers.activation import activate
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import LAYER_NORM, ActivationName, Conv, Shape, spatial
from ventralstream.spec import CellSpec
from ventralstream.values import Side, Width


class SimpleRNNCell(Cell):
    """h' = act(LN(W_s * h + b_s + W_i * x + b_i)); the output is h'."""

    pure = ("drive", "update")

    def __init__(self, spec: SimpleRNN, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.channels = spec.channels or channels
        self.from_input = Conv2d(Conv(self.channels, spec.kernel), channels)
        self.from_state = Conv2d(Conv(self.channels, spec.kernel), self.channels)
        self.norm = StepNorm(LAYER_NORM, self.channels) if spec.layer_norm else None

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return ((self.channels, *shape[1:]),)

    def drive(self, x: Tensor) -> Drive:
        return (self.from_input(x),)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        total = drive[0] + self.from_state(state[0])
        if self.norm is not None:
            total = self.norm(total, step)
        h = activate(total, self.spec.activation)
        return h, (h,)


@register_cell("simple_rnn")
@dataclass(frozen=True)
class SimpleRNN(CellSpec):
    """The simple RNN.

    Attributes:
        channels: Channels of the state; 0 takes those of the input.
        kernel: Side of both kernels.
        activation: The non-linearity.
        layer_norm: Normalises before the non-linearity (the shallow published network does).
    """

    channels: Width = 0
    kernel: Side = 3
    activation: ActivationName = "elu"
    layer_norm: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = spatial("simple_rnn", shape)
        result = (self.channels or channels, height, width)
        return LAYER_NORM.output_shape(result) if self.layer_norm else result

    @property
    def sets_channels(self) -> bool:
        return self.channels > 0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> SimpleRNNCell:
        return SimpleRNNCell(self, shape[0])
