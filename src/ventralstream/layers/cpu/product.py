"""Convolutions as products of matrices: unfold the input, multiply by the kernel as a matrix.

Torch's CPU library reorders a kernel at every call. For a kernel larger than the processor's cache that costs as much
as the convolution of a few small maps, and the kernel's gradient several times as much. Here the kernel is read as it
lies ([K, C * k * k]); what is unfolded, and much smaller, is brought to its order.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 2**24  # numbers that are unfolded at a time


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The convolution of x [B, C, H, W] with weight [K, C, k, k]; channels last."""
    parts = [unfolded @ _matrix(weight).T for _, unfolded in _unfold(x, weight, stride, padding)]
    y = parts[0] if len(parts) == 1 else torch.cat(parts)
    height, width = (_size(n, weight, stride, padding) for n in x.shape[2:])
    return y.view(len(x), height, width, -1).permute(0, 3, 1, 2)


def input_gradient(grad: Tensor, weight: Tensor, like: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of an input like `like`, of that of the output [B, K, H', W']; channels last."""
    side = weight.shape[2]
    _, channels, height, width = like.shape
    into = like.new_zeros(len(like), height + 2 * padding, width + 2 * padding, channels)
    each = max(1, _CHUNK // (grad[0, 0].numel() * weight[0].numel()))
    rows, columns = (stride * (n - 1) + 1 for n in grad.shape[2:])
    for target, part in zip(torch.split(into, each), torch.split(grad, each), strict=True):
        spread = _rows(part) @ _matrix(weight)  # [images * H' * W', C * k * k]
        spread = spread.view(-1, channels, side * side).transpose(1, 2).contiguous()
        spread = spread.view(len(part), *grad.shape[2:], side, side, channels)
        for i in range(side):
            for j in range(side):
                target[:, i : i + rows : stride, j : j + columns : stride].add_(spread[:, :, :, i, j])
    inner = into[:, padding : padding + height, padding : padding + width]
    return inner.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def kernel_gradient(x: Tensor, grad: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of the kernel; channels last, as the windows hold whole pixels: turning the result is less to do."""
    side, total = weight.shape[2], None
    for images, windows in _windows(x, weight, stride, padding):
        rows, unfolded = _rows(grad[images]), windows.view(-1, windows.shape[1] * windows.shape[2])
        total = rows.T @ unfolded if total is None else total.addmm_(rows.T, unfolded)
    assert total is not None
    return total.view(len(weight), side, side, -1).permute(0, 3, 1, 2)


def _matrix(weight: Tensor) -> Tensor:
    return weight.reshape(len(weight), -1)


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _size(size: int, weight: Tensor, stride: int, padding: int) -> int:
    return (size + 2 * padding - weight.shape[2]) // stride + 1


def _unfold(x: Tensor, weight: Tensor, stride: int, padding: int) -> Iterator[tuple[slice, Tensor]]:
    """What each position's window holds, [images * H' * W', C * k * k], for some images at a time."""
    for images, windows in _windows(x, weight, stride, padding):
        # a second copy, after that of whole pixels: several times faster than one in the kernel's order
        yield images, windows.transpose(1, 2).reshape(len(windows), -1)


def _windows(x: Tensor, weight: Tensor, stride: int, padding: int) -> Iterator[tuple[slice, Tensor]]:
    """The same as [images * H' * W', k * k, C]."""
    side, channels = weight.shape[2], x.shape[1]
    height, width = (_size(n, weight, stride, padding) for n in x.shape[2:])
    each = max(1, _CHUNK // (height * width * side * side * channels))
    for start in range(0, len(x), each):
        part = x[start : start + each]
        part = (F.pad(part, [padding] * 4) if padding else part).contiguous(memory_format=torch.channels_last)
        b, c, h, w = part.stride()
        size, strides = (len(part), height, width, side, side, channels), (b, h * stride, w * stride, h, w, c)
        windows = part.as_strided(size, strides, part.storage_offset()).reshape(-1, side * side, channels)
        yield slice(start, start + each), windows
