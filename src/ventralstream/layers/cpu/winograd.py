"""3x3 convolutions on a CPU with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

Lavin and Gray 2016 (arXiv 1509.09308). The interpolation points (0, 1, -1, 1/2, -2, infinity) are those of Barabasz et
al. 2020 (ACM TOMS 46:37): with them the error in float32 is that of the direct convolution of torch's CPU library (the
tests compare both with float64). Torch's CPU library has direct convolutions only, and runs them near the processor's
limit; what is left is to multiply less.

All of stride 1 with one pixel of padding, channels last. `ventralstream.layers.cpu.convolution` says when.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_TILE, _WINDOW = 4, 6  # outputs and inputs of a tile, per axis


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Output, kernel and input transforms for two axes: [16, 36], [36, 9], [36, 36], in float64."""

    def powers(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        finite = [[point**j for j in range(count)] for point in (0.0, 1.0, -1.0, 0.5, -2.0)]
        return np.array([*finite, [0.0] * (count - 1) + [1.0]])

    output, kernel, window = powers(_TILE).T, powers(3), np.linalg.inv(powers(_WINDOW)).T
    for i in range(_WINDOW):  # balance the factors of each point by powers of two, which round nothing
        k = 2.0 ** np.round(np.log2(np.abs(kernel[i]).sum()))
        w = 2.0 ** np.round(np.log2(np.abs(window[i]).max() * k))
        kernel[i] /= k
        window[i] *= k / w
        output[:, i] *= w
    both = (torch.from_numpy(np.kron(m, m)) for m in (output, kernel, window))
    return next(both), next(both), next(both)


_OUTPUT, _KERNEL, _WINDOWS = _matrices()


def tiles(x: Tensor) -> int:
    """How many tiles cover the maps of x [B, C, H, W]."""
    return x.shape[0] * -(-x.shape[2] // _TILE) * -(-x.shape[3] // _TILE)


def transform(weight: Tensor) -> Tensor:
    """A kernel [K, C, 3, 3] as `convolve` takes it: [36, C, K]."""
    return _transform(weight, _KERNEL).transpose(1, 2)


def transform_back(weight: Tensor) -> Tensor:
    """A kernel [K, C, 3, 3] as `convolve` takes it to carry gradients of the output to the input: [36, K, C]."""
    return _transform(weight, _KERNEL.flip(1))


def _transform(weight: Tensor, matrix: Tensor) -> Tensor:
    k, c = weight.shape[:2]
    return (matrix.to(weight.dtype) @ weight.reshape(k * c, 9).T).view(_WINDOW**2, k, c)


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """The convolution of x [B, C, H, W] with a transformed kernel [36, C, K]."""
    batch, _, height, width = x.shape
    rows, columns, channels = -(-height // _TILE), -(-width // _TILE), kernel.shape[2]
    products = torch.bmm(_windows(x).transpose(0, 1), kernel)
    pieces = _times(_OUTPUT, products.transpose(0, 1)).view(batch, rows, columns, _TILE, _TILE, channels)
    y = pieces.transpose(2, 3).reshape(batch, rows * _TILE, columns * _TILE, channels)[:, :height, :width]
    return y.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def gradient_products(x: Tensor, grad: Tensor) -> Tensor:
    """What `kernel_gradient` makes the kernel's gradient of, [36, K, C]; of several steps it may be summed."""
    return torch.bmm(_outputs(grad).permute(1, 2, 0), _windows(x).transpose(0, 1))


def kernel_gradient(products: Tensor) -> Tensor:
    """The gradient of a kernel [K, C, 3, 3]."""
    _, k, c = products.shape
    return (products.reshape(_WINDOW**2, k * c).T @ _KERNEL.to(products.dtype)).view(k, c, 3, 3)


def _times(matrix: Tensor, batch: Tensor) -> Tensor:
    """matrix [n, m] times each of batch [P, m, C]; many small products share the cores better than one flat one."""
    return torch.bmm(matrix.to(batch.dtype).expand(len(batch), *matrix.shape), batch)


def _windows(x: Tensor) -> Tensor:
    """The transformed overlapping windows of x: [B * tiles, 36, C]."""
    batch, channels, height, width = x.shape
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    x = F.pad(x, (1, columns * _TILE - width + 1, 1, rows * _TILE - height + 1))
    x = x.contiguous(memory_format=torch.channels_last)
    b, c, h, w = x.stride()
    size = (batch, rows, columns, _WINDOW, _WINDOW, channels)
    windows = x.as_strided(size, (b, _TILE * h, _TILE * w, h, w, c), x.storage_offset())
    return _times(_WINDOWS, windows.reshape(-1, _WINDOW**2, channels))


def _outputs(grad: Tensor) -> Tensor:
    """The transformed tiles of a gradient with respect to the output: [B * tiles, 36, K]."""
    batch, channels, height, width = grad.shape
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    grad = F.pad(grad, (0, columns * _TILE - width, 0, rows * _TILE - height))
    pieces = grad.view(batch, channels, rows, _TILE, columns, _TILE).permute(0, 2, 4, 3, 5, 1)
    return _times(_OUTPUT.T, pieces.reshape(-1, _TILE**2, channels))
