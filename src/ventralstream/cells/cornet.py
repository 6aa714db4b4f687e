"""The recurrent blocks of CORnet-R/-RT and CORnet-S (paper B; papers.md B.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import Conv, Norm, Shape
from ventralstream.spec import CellSpec


class CORnetRCell(Cell):
    """h' = ReLU(norm(conv(x + h))); the output is h'."""

    def __init__(self, spec: CORnetR, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(Conv(channels, spec.kernel, padding=spec.kernel // 2, bias=False), channels)
        self.norm = StepNorm(Norm("group", groups=spec.groups), channels)

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return (shape,)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        h = torch.relu(self.norm(self.conv(drive[0] + state[0]), step))
        return h, (h,)


@register_cell("cornet_r")
@dataclass(frozen=True)
class CORnetR(CellSpec):
    """The cell of CORnet-R and CORnet-RT.

    Attributes:
        kernel: Side of the recurrent kernel.
        groups: Groups of its GroupNorm.
    """

    kernel: int = 3
    groups: int = 32

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> CORnetRCell:
        return CORnetRCell(self, shape[0])


class CORnetSCell(Cell):
    """A bottleneck block applied again and again to its own output.

    The input x enters in the first active step only (a hard gate); there the 3x3 convolution has stride 2 and the
    skip is a normalised 1x1 convolution of x with stride 2. Later steps have stride 1 and skip the state itself.
    """

    def __init__(self, spec: CORnetS, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = spec.stride
        inner = channels * spec.scale
        norm = Norm(spec.norm, per_step=spec.times)
        self.skip = Conv2d(Conv(channels, 1, stride=spec.stride, padding=0, bias=False), channels)
        self.skip_norm = StepNorm(norm.replace(per_step=0), channels)
        self.conv1 = Conv2d(Conv(inner, 1, padding=0, bias=False), channels)
        self.conv2 = Conv2d(Conv(inner, 3, padding=1, bias=False), inner)
        self.conv2_first = Conv(inner, 3, stride=spec.stride, padding=1, bias=False)
        self.conv3 = Conv2d(Conv(channels, 1, padding=0, bias=False), inner)
        self.norm1, self.norm2 = StepNorm(norm, inner), StepNorm(norm, inner)
        self.norm3 = StepNorm(norm, channels)
        self.distinct_steps = max(2, spec.times)

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        size = self.conv2_first.output_shape(shape)[1:]
        return ((self.channels, *size),)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        first = step == 0
        x = drive[0] if first else state[0]
        skip = self.skip_norm(self.skip(x), 0) if first else x
        y = torch.relu(self.norm1(self.conv1(x), step))
        y = nn.functional.conv2d(y, self.conv2.conv.weight, None, self.stride if first else 1, 1)
        y = torch.relu(self.norm2(y, step))
        h = torch.relu(self.norm3(self.conv3(y), step) + skip)
        return h, (h,)


@register_cell("cornet_s")
@dataclass(frozen=True)
class CORnetS(CellSpec):
    """The cell of CORnet-S.

    Attributes:
        times: Steps with a normalisation of their own (later steps use the last one).
        scale: Width of the bottleneck, in multiples of the channels.
        stride: Stride of the first step.
        norm: Kind of normalisation.
    """

    times: int = 2
    scale: int = 4
    stride: int = 2
    norm: Literal["batch", "group"] = "batch"

    def output_shape(self, shape: Shape) -> Shape:
        return Conv(shape[0], 3, stride=self.stride, padding=1).output_shape(shape)

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> CORnetSCell:
        return CORnetSCell(self, shape[0])
