"""Convolution and pooling with explicit padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ventralstream.layers import shortcuts
from ventralstream.layers.cpu.convolution import convolve
from ventralstream.layers.specs import Conv, Deconv, Padding, Pool, window_size


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding (before, after) along one axis: the odd pixel goes after."""
    total = max((window_size(size, kernel, stride, "same") - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad(x: Tensor, kernel: int, stride: int, padding: Padding, value: float = 0.0) -> tuple[Tensor, int]:
    """Pads what an operation cannot pad itself: returns x and the symmetric padding that is left to the operation."""
    if padding == "valid":
        return x, 0
    if padding != "same":
        return x, int(padding)
    top, bottom = same_padding(x.shape[-2], kernel, stride)
    left, right = same_padding(x.shape[-1], kernel, stride)
    if top == bottom == left == right:
        return x, top
    return F.pad(x, (left, right, top, bottom), value=value), 0


def fixed_padding(spec: Conv) -> int:
    """The part of a convolution's padding that does not depend on the map's size, which its module does itself."""
    if spec.padding == "same":
        return spec.kernel // 2 if spec.stride == 1 and spec.kernel % 2 else 0
    return 0 if spec.padding == "valid" else spec.padding


class AnyStride(nn.Conv2d):
    """A convolution of which each call may have a stride of its own."""

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        if stride is None:
            return super().forward(x)
        return F.conv2d(x, self.weight, self.bias, stride, self.padding, self.dilation, self.groups)


class Conv2d(nn.Module):
    """The module of a `Conv` spec on `channels` input channels; weights in torch's layout [out, in, k, k].

    Its convolutions are torch's modules, `conv`, or `depthwise` and `pointwise`. They are called as they are, so that
    they may be hooked, pruned, parametrised or replaced, except where `layers.shortcuts` allows less.

    Args:
        spec: The spec.
        channels: Input channels.
        any_stride: Whether `forward` will be given a stride.
    """

    def __init__(self, spec: Conv, channels: int, any_stride: bool = False) -> None:
        super().__init__()
        self.spec = spec
        around = fixed_padding(spec)
        self.kind = AnyStride if any_stride else nn.Conv2d
        if spec.separable:
            self.depthwise = nn.Conv2d(
                channels, channels, spec.kernel, spec.stride, around, groups=channels, bias=False
            )
            self.pointwise = nn.Conv2d(channels, spec.channels, 1, bias=spec.bias)
        else:
            self.conv = self.kind(channels, spec.channels, spec.kernel, spec.stride, around, bias=spec.bias)

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        """The convolution of x; `stride` replaces the spec's."""
        if self.spec.separable:
            result: Tensor = self.pointwise(self._apply_one(self.depthwise, nn.Conv2d, x, stride))
            return result
        return self._apply_one(self.conv, self.kind, x, stride)

    def rows(self, x: Tensor, rows: slice) -> Tensor:
        """Some of the output channels."""
        if self.spec.separable or not (shortcuts.allowed() and self.untouched):
            result: Tensor = self(x)[:, rows]
            return result
        bias = None if self.conv.bias is None else self.conv.bias[rows]
        return self._convolve(x, self.conv.weight[rows], bias, self.spec.stride)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that has the bias."""
        return self.pointwise if self.spec.separable else self.conv

    @property
    def untouched(self) -> bool:
        """Whether nobody has hooked, parametrised or replaced the convolutions."""
        if self.spec.separable:
            return all(shortcuts.untouched(m, nn.Conv2d) for m in (self.depthwise, self.pointwise))
        return shortcuts.untouched(self.conv, self.kind)

    def _apply_one(self, conv: nn.Conv2d, kind: type[nn.Conv2d], x: Tensor, stride: int | None) -> Tensor:
        """One of the convolutions, with this spec's padding: its module's call, or a shortcut."""
        s = self.spec
        if shortcuts.allowed() and shortcuts.untouched(conv, kind):
            return self._convolve(x, conv.weight, conv.bias, stride or s.stride)
        x, around = pad(x, s.kernel, stride or s.stride, s.padding)
        if around != fixed_padding(s):
            x = F.pad(x, [around] * 4)
        if stride is None or stride == s.stride:
            result: Tensor = conv(x)
        elif isinstance(conv, AnyStride):
            result = conv(x, stride)
        else:  # what took its place has a stride of its own
            result = conv(x)[..., :: stride // s.stride, :: stride // s.stride]
        return result

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        s = self.spec
        x, around = pad(x, s.kernel, stride, s.padding)
        return convolve(x, weight, bias, stride, around, x.shape[1] // weight.shape[1])


def deconv(spec: Deconv, channels: int) -> nn.Module:
    """The module of a `Deconv` spec: its padding makes the output `stride` times the input's size."""
    padding = max(0, (spec.kernel - spec.stride + 1) // 2)
    return nn.ConvTranspose2d(
        channels,
        spec.channels,
        spec.kernel,
        spec.stride,
        padding=padding,
        output_padding=spec.stride - spec.kernel + 2 * padding,
        bias=spec.bias,
    )


class Pool2d(nn.Module):
    """The module of a `Pool` spec."""

    def __init__(self, spec: Pool) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, x: Tensor) -> Tensor:
        s = self.spec
        if s.kind == "max":
            x, around = pad(x, s.kernel, s.stride, s.padding, value=float("-inf"))
            return F.max_pool2d(x, s.kernel, s.stride, around)
        # padded pixels count neither in the sum nor in the number of pixels, as in TensorFlow
        ones, _ = pad(x.new_ones(1, 1, *x.shape[-2:]), s.kernel, s.stride, s.padding)
        x, around = pad(x, s.kernel, s.stride, s.padding)
        share = F.avg_pool2d(ones, s.kernel, s.stride, around)
        return F.avg_pool2d(x, s.kernel, s.stride, around) / share


class GlobalMean(nn.Module):
    """The module of a `GlobalPool` spec."""

    def forward(self, x: Tensor) -> Tensor:
        # of a channels-last view, so that the gradient has its channels last too
        return x.permute(0, 2, 3, 1).mean((1, 2))
