"""Convolutions as products of matrices: unfold the input, multiply by the kernel as a matrix.

Torch's CPU library reorders a kernel at every call. For a kernel larger than the processor's cache that costs as much
as the convolution of a few small maps, and the kernel's gradient several times as much.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 2**24  # numbers that are unfolded at a time


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The convolution of x [B, C, H, W] with weight [K, C, k, k]; channels last."""
    height, width = (_size(n, weight, stride, padding) for n in x.shape[2:])
    parts = [_matrix(weight) @ unfolded for _, unfolded in _unfold(x, weight, stride, padding)]
    y = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    return y.view(len(weight), len(x), height, width).permute(1, 0, 2, 3).contiguous(memory_format=torch.channels_last)


def input_gradient(grad: Tensor, weight: Tensor, like: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of an input like `like`, of that of the output [B, K, H', W']; channels last."""
    matrix = _matrix(weight).T
    each = max(1, _CHUNK // (grad[0, 0].numel() * len(matrix)))
    parts = []
    for part in torch.split(grad, each):
        spread = (matrix @ _columns(part)).view(len(matrix), len(part), -1).transpose(0, 1)
        parts.append(F.fold(spread, like.shape[2:], weight.shape[2:], padding=padding, stride=stride))
    return torch.cat(parts).contiguous(memory_format=torch.channels_last)


def kernel_gradient(x: Tensor, grad: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of the kernel."""
    total = None
    for images, unfolded in _unfold(x, weight, stride, padding):
        columns = _columns(grad[images])
        total = columns @ unfolded.T if total is None else total.addmm_(columns, unfolded.T)
    assert total is not None
    return total.view(weight.shape)


def _matrix(weight: Tensor) -> Tensor:
    return weight.reshape(len(weight), -1)


def _columns(x: Tensor) -> Tensor:
    """[B, K, H, W] as [K, B * H * W]."""
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def _size(size: int, weight: Tensor, stride: int, padding: int) -> int:
    return (size + 2 * padding - weight.shape[2]) // stride + 1


def _unfold(x: Tensor, weight: Tensor, stride: int, padding: int) -> Iterator[tuple[slice, Tensor]]:
    """What each position's window holds, [C * k * k, images * H' * W'], for some images at a time."""
    height, width = (_size(n, weight, stride, padding) for n in x.shape[2:])
    each = max(1, _CHUNK // (height * width * weight[0].numel()))
    for start in range(0, len(x), each):
        windows = F.unfold(x[start : start + each], weight.shape[2:], padding=padding, stride=stride)
        yield slice(start, start + each), windows.transpose(0, 1).reshape(windows.shape[1], -1)
