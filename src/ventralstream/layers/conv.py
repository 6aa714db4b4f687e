"""Convolution and pooling with explicit padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ventralstream.layers.cpu.convolution import convolve
from ventralstream.layers.specs import Conv, Padding, Pool, window_size


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


class Conv2d(nn.Module):
    """The module of a `Conv` spec on `channels` input channels; weights in torch's layout [out, in, k, k]."""

    def __init__(self, spec: Conv, channels: int) -> None:
        super().__init__()
        self.spec = spec
        if spec.separable:
            self.depthwise = nn.Conv2d(channels, channels, spec.kernel, spec.stride, groups=channels, bias=False)
            self.pointwise = nn.Conv2d(channels, spec.channels, 1, bias=spec.bias)
        else:
            self.conv = nn.Conv2d(channels, spec.channels, spec.kernel, spec.stride, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.spec.separable:
            result: Tensor = self.pointwise(self.convolve(x, self.depthwise.weight, None))
            return result
        return self.convolve(x, self.conv.weight, self.conv.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with this spec's padding and stride, but with other weights (some of its outputs, say)."""
        s = self.spec
        x, around = pad(x, s.kernel, s.stride, s.padding)
        return convolve(x, weight, bias, s.stride, around, x.shape[1] // weight.shape[1])


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
