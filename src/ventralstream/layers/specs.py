"""Layers as data: what they are, the shape they give, the module they build; torch is imported when one is built.

A shape is `(channels, height, width)` or, after a GlobalPool, `(features,)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar

from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged, tags
from ventralstream.values import Channels, Fraction, Natural, Side, Within

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
Padding = Literal["same", "valid"] | Annotated[int, Within(0, 1024)]
Eps = Annotated[float, Within(1e-12, 1)]  # below, float32 loses it
ActivationName = Literal["identity", "relu", "elu", "tanh", "sigmoid", "softplus", "gelu"]


def window_size(size: int, kernel: int, stride: int, padding: Padding) -> int:
    """Output size of a sliding window along one axis; 0 or less where the window does not fit."""
    if padding == "same":
        return -(-size // stride)
    around = 0 if padding == "valid" else 2 * int(padding)
    return (size + around - kernel) // stride + 1


def spatial(owner: str, shape: Shape) -> tuple[int, int, int]:
    """The shape as (channels, height, width); an error that names the layer if it has no space left."""
    if len(shape) != 3:
        raise VentralError(f"'{owner}' needs a map (channels, height, width), but gets {shape}")
    return shape[0], shape[1], shape[2]


@dataclass(frozen=True)
class Layer(Spec):
    """Base of the layer specs: a layer's options, the shape it gives, and the module it builds.

    Attributes:
        reads_step: Whether the module is called with the step: `module(x, step)`, the area's active steps from 0.
        reads_raw: Whether it is (last) called with the area's own input, as it was before the drive's layers. Such a
            layer belongs among an area's output layers.
    """

    reads_step: ClassVar[bool] = False
    reads_raw: ClassVar[bool] = False

    def output_shape(self, shape: Shape) -> Shape:
        """The shape this layer gives for an input of `shape`; VentralError if it cannot be applied."""
        return shape

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        """The layer's module.

        Args:
            shape: The input's shape without the batch, for the network's nominal input size.
            raw_shape: The shape of the area's own input.
        """
        raise NotImplementedError

    @property
    def sets_channels(self) -> bool:
        """Whether the number of output channels does not depend on the number of input channels."""
        return False

    @property
    def copies(self) -> int:
        """Sets of parameters that the layer has one of for each of its first steps; 1 if all steps share one."""
        return 1


L = TypeVar("L", bound=type[Layer])


def register_layer(name: str) -> Callable[[L], L]:
    """Registers a layer's options, a frozen dataclass on `Layer`, under the name that stands in a spec's JSON."""
    return tagged(name)


def list_layers() -> list[str]:
    """The names of all registered layers."""
    return tags(Layer)


def _windowed(owner: str, shape: Shape, channels: int, kernel: int, stride: int, padding: Padding) -> Shape:
    _, height, width = spatial(owner, shape)
    size = tuple(window_size(n, kernel, stride, padding) for n in (height, width))
    if min(size) < 1:
        raise VentralError(f"'{owner}' with kernel {kernel} does not fit on a {height}x{width} map")
    return (channels, *size)


@register_layer("conv")
@dataclass(frozen=True)
class Conv(Layer):
    """A 2-D convolution.

    Attributes:
        channels: Output channels.
        kernel: Side of the square kernel.
        stride: Stride.
        padding: "same" is TensorFlow's: as much as `ceil(size / stride)` outputs need, the odd pixel at the bottom
            and right (the ConvRNNs). An integer pads both sides equally (CORnet). "valid" pads nothing.
        bias: Whether a bias is added.
        separable: Depthwise convolution followed by a pointwise one, one bias after both (the searched cell of
            Nayebi et al. 2018).
    """

    channels: Channels
    kernel: Side = 3
    stride: Side = 1
    padding: Padding = "same"
    bias: bool = True
    separable: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        return _windowed("conv", shape, self.channels, self.kernel, self.stride, self.padding)

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.conv import Conv2d

        return Conv2d(self, shape[0])

    @property
    def sets_channels(self) -> bool:
        return True


@register_layer("deconv")
@dataclass(frozen=True)
class Deconv(Layer):
    """A transposed convolution that multiplies the map's size by `stride` (top-down paths, Liao and Poggio 2016)."""

    channels: Channels
    kernel: Side = 3
    stride: Side = 2
    bias: bool = True

    def check(self) -> None:
        if self.kernel == 1 and self.stride > 1:  # it also corrupts memory in oneDNN's convolutions for AVX2
            raise VentralError(
                f"'deconv' with kernel 1 and stride {self.stride} only spreads pixels; expected a larger kernel"
            )
        if self.stride == 1 and self.kernel % 2 == 0:
            raise VentralError(f"'deconv' with stride 1 needs an odd kernel to keep the map's size; got {self.kernel}")

    def output_shape(self, shape: Shape) -> Shape:
        _, height, width = spatial("deconv", shape)
        return (self.channels, height * self.stride, width * self.stride)

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.conv import deconv

        return deconv(self, shape[0])

    @property
    def sets_channels(self) -> bool:
        return True


@register_layer("pool")
@dataclass(frozen=True)
class Pool(Layer):
    """Maximum or average over a sliding window; padding as for Conv (padded pixels never win a maximum)."""

    kind: Literal["max", "avg"] = "max"
    kernel: Side = 2
    stride: Side = 2
    padding: Padding = "same"

    def check(self) -> None:
        if isinstance(self.padding, int) and self.padding > self.kernel // 2:
            raise VentralError(f"'pool' pads at most half its kernel; got {self.padding} for kernel {self.kernel}")

    def output_shape(self, shape: Shape) -> Shape:
        return _windowed("pool", shape, shape[0], self.kernel, self.stride, self.padding)

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.conv import Pool2d

        return Pool2d(self)


@register_layer("global_pool")
@dataclass(frozen=True)
class GlobalPool(Layer):
    """Mean over space: `(channels, height, width)` to `(channels,)`."""

    def output_shape(self, shape: Shape) -> Shape:
        return (spatial("global_pool", shape)[0],)

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.conv import GlobalMean

        return GlobalMean()


@register_layer("linear")
@dataclass(frozen=True)
class Linear(Layer):
    """A fully connected layer on a vector."""

    features: Channels
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise VentralError(f"'linear' needs a vector (put a 'global_pool' before it), but gets {shape}")
        return (self.features,)

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.Linear(shape[0], self.features, self.bias)

    @property
    def sets_channels(self) -> bool:
        return True


@register_layer("act")
@dataclass(frozen=True)
class Act(Layer):
    """A pointwise non-linearity."""

    name: ActivationName = "relu"

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.activation import MODULES

        return MODULES[self.name]()


@register_layer("norm")
@dataclass(frozen=True)
class Norm(Layer):
    """A normalisation.

    Attributes:
        kind: "batch", "group", or "layer" (over channels and space together, gain and offset per channel, as
            TensorFlow's contrib layer_norm in the ConvRNNs).
        groups: Groups of "group".
        affine: Whether gain and offset are learned.
        per_step: 0 shares one normalisation over time; n > 0 has one for each of the area's first n active steps,
            statistics and gains both (time-specific normalisation: CORnet-S; Liao and Poggio 2016).
        past_end: What a step beyond the last normalisation uses: "last" the last one, "error" refuses to unroll.
        eps: Added to the variance.
        zero_init: Starts the gain at 0 (the residual branch is silent at first; our choice where used).
    """

    reads_step: ClassVar[bool] = True

    kind: Literal["batch", "group", "layer"] = "batch"
    groups: Channels = 32
    affine: bool = True
    per_step: Natural = 0
    past_end: Literal["last", "error"] = "last"
    eps: Eps = 1e-5
    zero_init: bool = False

    @property
    def copies(self) -> int:
        return max(self.per_step, 1)

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = spatial("norm", shape)
        if self.kind == "group" and channels % self.groups:
            raise VentralError(f"'norm' with {self.groups} groups does not divide {channels} channels")
        groups = {"batch": 0, "group": self.groups, "layer": 1}[self.kind]
        if channels * height * width == groups:
            raise VentralError(f"'norm' cannot normalise the single values of {groups} groups of a {shape} map")
        return shape

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.norm import StepNorm

        return StepNorm(self, shape[0])


LAYER_NORM = Norm("layer", eps=1e-12)  # TensorFlow's, in the cells of the ConvRNNs


@register_layer("dropout")
@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout with probability `p`, drawn anew at every step."""

    p: Fraction = 0.5

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.Dropout(self.p)


@register_layer("add_input")
@dataclass(frozen=True)
class AddInput(Layer):
    """Adds the area's own input of the same step, as it was before the drive's layers.

    Only among an area's output layers. The identity where the channels agree, else a 1x1 convolution without bias
    (the residual blocks of the ConvRNNs of 11 areas).
    """

    reads_raw: ClassVar[bool] = True

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        from ventralstream.layers.residual import Residual

        return Residual(shape[0], raw_shape[0])
