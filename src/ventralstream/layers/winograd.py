"""3x3 convolutions on a CPU with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

Lavin and Gray 2016 (arXiv 1509.09308). The interpolation points (0, 1, -1, 1/2, -2, infinity) are those of Barabasz et
al. 2020 (ACM TOMS 46:37): with them the error in float32 is that of the direct convolution of torch's CPU library (the
tests compare both with float64). Torch's CPU library has direct convolutions only, and runs them at the processor's
limit; what is left is to multiply less.

Transformed kernels are kept in a `Store`, whose life is one unroll: a kernel is transformed once for all its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_TILE, _WINDOW = 4, 6  # outputs and inputs of a tile, per axis
_LEAST_TILES = 48  # with fewer the products of transformed kernels are too thin to gain anything
_LEAST_PRODUCT = 128 * 128  # of input and output channels: with less the transforms cost what the products gain


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


class Store:
    """Transformed kernels of one unroll."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[Tensor, Tensor]] = {}

    def kernel(self, weight: Tensor, flipped: bool = False) -> Tensor:
        """The transform [36, C, K] of a kernel [K, C, 3, 3]; flipped, the one that takes gradients back: [36, K, C]."""
        key = (weight.data_ptr(), weight.shape, weight.stride(), flipped)
        if key not in self._kept:
            w = weight.detach()
            w = w.flip(2, 3).transpose(0, 1) if flipped else w
            flat = w.permute(2, 3, 1, 0).reshape(9, -1)
            transformed = torch.mm(_KERNEL.to(flat.dtype), flat).view(-1, w.shape[1], w.shape[0])
            # the weight is kept too, so that no other tensor gets its address
            self._kept[key] = (transformed, weight)
        return self._kept[key][0]

    def clear(self) -> None:
        """Forgets all; they are made again if they are needed again."""
        self._kept.clear()


_STORE: ContextVar[Store | None] = ContextVar("store", default=None)


def within(store: Store | None, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, in which convolutions use this store; None makes them direct."""

    def run(*args: Any) -> Any:
        token = _STORE.set(store)
        try:
            return call(*args)
        finally:
            _STORE.reset(token)

    return run


def has_form(weight: Tensor, stride: int, around: int, groups: int) -> bool:
    """Whether a convolution is of the form this is for, and has enough channels to gain by it."""
    enough = weight.shape[0] * weight.shape[1] >= _LEAST_PRODUCT
    return enough and weight.shape[2:] == (3, 3) and (stride, around, groups) == (1, 1, 1)


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether a convolution of that form can be done so here and now, and gains by it."""
    if _STORE.get() is None or torch.is_autocast_enabled("cpu") or {x.dtype, weight.dtype} != {torch.float32}:
        return False
    tiles = x.shape[0] * -(-x.shape[2] // _TILE) * -(-x.shape[3] // _TILE)
    return x.device.type == "cpu" and tiles >= _LEAST_TILES


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of x [B, C, H, W] with weight [K, C, 3, 3], stride 1, one pixel of padding around."""
    store = _STORE.get()
    result: Tensor = _Convolution.apply(x, weight, store or Store())
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, store: Store) -> Tensor:
        return _apply(x, store.kernel(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Store], output: Tensor) -> None:
        x, weight, ctx.store = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        into_x = into_weight = None
        if ctx.needs_input_grad[0]:
            into_x = _apply(grad, ctx.store.kernel(weight, flipped=True))
        if ctx.needs_input_grad[1]:
            products = torch.bmm(_windows(x).permute(1, 2, 0), _outputs(grad).transpose(0, 1))
            into_kernel = _times(_KERNEL.T, products.transpose(0, 1))
            into_weight = into_kernel.view(-1, 3, 3, weight.shape[0]).permute(3, 0, 1, 2)
        return into_x, into_weight, None


def _times(matrix: Tensor, batch: Tensor) -> Tensor:
    """matrix [n, m] times each of batch [P, m, C]; many small products share the cores better than one flat one."""
    return torch.bmm(matrix.to(batch.dtype).expand(len(batch), *matrix.shape), batch)


def _apply(x: Tensor, kernel: Tensor) -> Tensor:
    batch, _, height, width = x.shape
    rows, columns, channels = -(-height // _TILE), -(-width // _TILE), kernel.shape[2]
    products = torch.bmm(_windows(x).transpose(0, 1), kernel)
    tiles = _times(_OUTPUT, products.transpose(0, 1)).view(batch, rows, columns, _TILE, _TILE, channels)
    y = tiles.transpose(2, 3).reshape(batch, rows * _TILE, columns * _TILE, channels)
    return y[:, :height, :width].permute(0, 3, 1, 2)


def _windows(x: Tensor) -> Tensor:
    """The transformed overlapping windows of x: [B * tiles, 36, C]."""
    batch, channels, height, width = x.shape
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    x = F.pad(x, (1, columns * _TILE - width + 1, 1, rows * _TILE - height + 1))
    b, c, h, w = x.stride()
    size = (batch, rows, columns, _WINDOW, _WINDOW, channels)
    windows = x.as_strided(size, (b, _TILE * h, _TILE * w, h, w, c), x.storage_offset())
    return _times(_WINDOWS, windows.reshape(-1, _WINDOW**2, channels))


def _outputs(grad: Tensor) -> Tensor:
    """The transformed tiles of a gradient with respect to the output: [B * tiles, 36, K]."""
    batch, channels, height, width = grad.shape
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    grad = F.pad(grad, (0, columns * _TILE - width, 0, rows * _TILE - height))
    tiles = grad.view(batch, channels, rows, _TILE, columns, _TILE).permute(0, 2, 4, 3, 5, 1)
    return _times(_OUTPUT.T, tiles.reshape(-1, _TILE**2, channels))
