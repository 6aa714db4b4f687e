"""The recurrent blocks of CORnet-R/-RT and CORnet-S (Kubilius, Schrimpf et al. 2019; docs/papers.md B.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.errors import VentralError
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import Conv, Norm, Shape
from ventralstream.spec import CellSpec
from ventralstream.values import Channels, Count, Side


class CORnetRCell(Cell):
    """h' = ReLU(norm(conv(x + h))); the output is h'."""

    pure = ("update",)

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

    kernel: Side = 3
    groups: Channels = 32

    def check(self) -> None:
        if self.kernel % 2 == 0:
            raise VentralError(f"'cornet_r' needs an odd kernel to keep the map's size; got {self.kernel}")

    def output_shape(self, shape: Shape) -> Shape:
        return Norm("group", groups=self.groups).output_shape(shape)

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> CORnetRCell:
        return CORnetRCell(self, shape[0])


class CORnetSCell(Cell):
    """A bottleneck block applied again and again to its own output.

    In the first active step the block reads the input x and its 3x3 convolution has the stride; the skip is then a
    normalised strided 1x1 convolution of x. In later steps it reads the state with stride 1, and the skip is the
    state itself. See `CORnetS` for the variants.
    """

    pure = ("update",)

    def __init__(self, spec: CORnetS, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.channels = channels
        inner = channels * spec.scale
        norm = Norm(spec.norm, per_step=spec.times if spec.norm == "batch" else 0)
        projects = spec.skip or spec.gate == "soft"
        self.skip = Conv2d(Conv(channels, 1, stride=spec.stride, padding=0, bias=False), channels) if projects else None
        self.skip_norm = StepNorm(norm.replace(per_step=0), channels) if projects else None
        wide = channels
        self.conv1 = self.norm1 = self.rejoin = None
        if spec.first_conv:
            wide = inner
            self.conv1 = Conv2d(Conv(inner, 1, padding=0, bias=False), channels)
            once = spec.loop_to == 2  # then it is applied in the first step only
            self.norm1 = StepNorm(norm.replace(per_step=0) if once else norm, inner)
            if once and spec.times > 1:
                self.rejoin = Conv2d(Conv(inner, 1, padding=0, bias=False), channels)
        self.conv2 = Conv2d(Conv(inner, 3, padding=1, bias=False), wide, any_stride=True)
        self.conv2_first = Conv(inner, 3, stride=spec.stride, padding=1, bias=False)
        self.conv3 = Conv2d(Conv(channels, 1, padding=0, bias=False), inner)
        self.norm2, self.norm3 = StepNorm(norm, inner), StepNorm(norm, channels)
        self.distinct_steps = max(2, spec.times)

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        size = self.conv2_first.output_shape(shape)[1:]
        return ((self.channels, *size),)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        first = step == 0
        x = drive[0] if first else state[0]
        if self.spec.gate == "soft" and not first:
            entering = self._project(drive[0])
            x = x + torch.sigmoid(entering + x) * entering
        skip = None
        if self.spec.skip:
            skip = self._project(x) if first else x
        y = x
        if self.rejoin is not None and not first:
            y = self.rejoin(x)
        elif self.conv1 is not None and self.norm1 is not None:
            y = torch.relu(self.norm1(self.conv1(x), step))
        y = self.conv2(y, self.spec.stride if first else 1)
        y = self.norm3(self.conv3(torch.relu(self.norm2(y, step))), step)
        h = torch.relu(y) if skip is None else torch.relu_(y + skip)
        return h, (h,)

    def _project(self, x: Tensor) -> Tensor:
        """The input at the size of the state."""
        assert self.skip is not None and self.skip_norm is not None
        result: Tensor = self.skip_norm(self.skip(x), 0)
        return result


@register_cell("cornet_s")
@dataclass(frozen=True)
class CORnetS(CellSpec):
    """The cell of CORnet-S and of its circuit variants (figure 4 of Kubilius et al. 2019; docs/papers.md B.7).

    Attributes:
        times: Steps with a normalisation of their own (later steps use the last one).
        scale: Width of the bottleneck, in multiples of the channels.
        stride: Stride of the first step.
        norm: Kind of normalisation; "batch" has one per step, "group" one for all.
        skip: Whether what the block reads is added to its result.
        first_conv: Whether the block begins with a 1x1 convolution; else with the 3x3 one.
        loop_to: Where the loop closes: 1, the state is read by the whole block; 2, by the 3x3 convolution, through a
            1x1 convolution of its own to the bottleneck's width (how the widths agree is our choice).
        gate: "hard" lets the input in at the first step only; "soft" also later, times sigmoid(input + state) (the
            input as projected for the skip; where exactly it enters is our choice).
    """

    times: Count = 2
    scale: Side = 4
    stride: Side = 2
    norm: Literal["batch", "group"] = "batch"
    skip: bool = True
    first_conv: bool = True
    loop_to: Literal[1, 2] = 1
    gate: Literal["hard", "soft"] = "hard"

    def check(self) -> None:
        if self.loop_to == 2 and not self.first_conv:
            raise VentralError("'cornet_s' without first_conv has no second place for the loop: loop_to must be 1")

    @property
    def copies(self) -> int:
        return self.times

    def output_shape(self, shape: Shape) -> Shape:
        result = Conv(shape[0], 3, stride=self.stride, padding=1).output_shape(shape)
        norm = Norm(self.norm)
        norm.output_shape((shape[0] * self.scale, *result[1:]))
        return norm.output_shape(result)

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> CORnetSCell:
        return CORnetSCell(self, shape[0])
