"""Convolutions inside an unroll on a CPU: each in the form that is fastest, sharing over steps what can be shared.

There are three forms, equal to the precision of the numbers' type: torch's own, Winograd's (`layers.winograd`), and a
product of matrices (`layers.product`). A kernel is applied at many steps of one unroll: it is transformed once for all
of them, and where it is large its gradient is made once, from what all its steps gave.

The bounds below were found by timing the kernels of the registered models on two cores with AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ventralstream.layers import product, winograd

Form = Literal["torch", "winograd", "product"]
Geometry = tuple[int, int, int]  # stride, padding, groups

_WINOGRAD_CHANNELS = 2**14  # in times out: with fewer the transforms cost what the products gain
_WINOGRAD_TILES = 48  # with fewer the products of transformed kernels are too thin to gain anything
_PRODUCT_CHANNELS = 2**20  # in times out: above, torch's own spends its time reordering the kernel
_PRODUCT_CHANNELS_OF_GRADIENT = 2**15  # the same for the kernel's gradient


class Store:
    """What the convolutions of one unroll share."""

    def __init__(self) -> None:
        self._kernels: dict[Any, tuple[Tensor, Tensor]] = {}
        self._shared: dict[Any, tuple[Tensor, KernelGradient]] = {}

    def kernel(self, weight: Tensor, back: bool = False) -> Tensor:
        """The kernel transformed for Winograd's form, and with `back` for carrying gradients back."""
        key = (*_key(weight), back)
        if key not in self._kernels:
            w = weight.detach()
            # the weight is kept too, so that no other tensor gets its address
            self._kernels[key] = (winograd.transform_back(w) if back else winograd.transform(w), weight)
        return self._kernels[key][0]

    def shared(self, weight: Tensor, geometry: Geometry) -> tuple[Tensor, KernelGradient]:
        """The kernel as all steps see it, and what sums their gradients."""
        key = (*_key(weight), geometry)
        if key not in self._shared:
            gradient = KernelGradient(weight.detach(), geometry)
            self._shared[key] = (_Shared.apply(weight, gradient), gradient)
        return self._shared[key]

    def clear(self) -> None:
        """Forgets all; it is made again if it is needed again."""
        self._kernels.clear()
        self._shared.clear()


_STORE: ContextVar[Store | None] = ContextVar("store", default=None)


def within(store: Store | None, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, in which convolutions use this store; with None they are torch's own."""

    def run(*args: Any) -> Any:
        token = _STORE.set(store)
        try:
            return call(*args)
        finally:
            _STORE.reset(token)

    return run


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int = 1) -> Tensor:
    """F.conv2d; inside an unroll, and in compiled stages, on a CPU in the form that is fastest."""
    compiling = torch.compiler.is_compiling()
    store = None if compiling else _STORE.get()
    geometry, learns = (stride, padding, groups), torch.is_grad_enabled() and weight.requires_grad
    if not (compiling or store) or not _has_choice(x, weight, geometry, learns):
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)
    form = _form(x, weight, geometry)
    y: Tensor
    if store is None:
        y = _in_graph(x, weight, stride, padding, form)
    else:
        shared, gradient = store.shared(weight, geometry) if learns else (weight, None)
        y = _Convolution.apply(x, shared, geometry, form, store, gradient)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def _has_choice(x: Tensor, weight: Tensor, geometry: Geometry, learns: bool) -> bool:
    """Whether the convolution or its gradient is to take another form than torch's."""
    exact = x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64)
    if not exact or x.device.type != "cpu" or geometry[2] > 1 or torch.is_autocast_enabled("cpu"):
        return False
    return _form(x, weight, geometry) != "torch" or (learns and _form(x, weight, geometry, of_gradient=True) != "torch")


def _form(x: Tensor, weight: Tensor, geometry: Geometry, of_gradient: bool = False) -> Form:
    """The form to use, or to use for the kernel's gradient."""
    channels = weight.shape[0] * weight.shape[1]
    fits = weight.shape[2:] == (3, 3) and geometry == (1, 1, 1) and x.dtype == torch.float32
    if fits and channels >= _WINOGRAD_CHANNELS and winograd.tiles(x) >= _WINOGRAD_TILES:
        return "winograd"
    least = _PRODUCT_CHANNELS_OF_GRADIENT if of_gradient else _PRODUCT_CHANNELS
    return "product" if channels >= least else "torch"


def _key(weight: Tensor) -> Any:
    return weight.data_ptr(), weight.shape, weight.stride()


class KernelGradient:
    """Sums a kernel's gradient over the steps of one backward pass.

    Pairs of an input and its output's gradient wait until they hold as many numbers as the kernel, so that a large
    kernel is gone through once for several steps.
    """

    def __init__(self, weight: Tensor, geometry: Geometry) -> None:
        self.weight, self.geometry = weight, geometry
        self._begin(None)

    def _begin(self, backward_pass: int | None) -> None:
        self.backward_pass = backward_pass
        self.waiting: list[tuple[Tensor, Tensor]] = []
        self.products: Tensor | None = None
        self.total: Tensor | None = None

    def add(self, x: Tensor, grad: Tensor) -> None:
        """Takes what one step gives."""
        # an earlier backward pass may have ended without asking for this kernel's gradient
        if (now := torch._C._current_graph_task_id()) != self.backward_pass:
            self._begin(now)
        self.waiting.append((x, grad))
        if sum(a.numel() + b.numel() for a, b in self.waiting) >= self.weight.numel():
            self._sum()

    def take(self) -> Tensor | None:
        """The sum, and forgets it."""
        self._sum()
        total = self.total
        if self.products is not None:
            found = winograd.kernel_gradient(self.products)
            total = found if total is None else total.add_(found)
        self._begin(None)
        return total

    def _sum(self) -> None:
        by_size: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for x, grad in self.waiting:
            by_size.setdefault(x.shape[2:], []).append((x, grad))
        self.waiting = []
        for pairs in by_size.values():
            xs, grads = zip(*pairs, strict=True)
            self._add(*((xs[0], grads[0]) if len(xs) == 1 else (torch.cat(xs), torch.cat(grads))))

    def _add(self, x: Tensor, grad: Tensor) -> None:
        if _form(x, self.weight, self.geometry, of_gradient=True) == "winograd":
            found = winograd.gradient_products(x, grad)
            self.products = found if self.products is None else self.products.add_(found)
        else:
            stride, padding, _ = self.geometry
            found = product.kernel_gradient(x, grad, self.weight, stride, padding)
            self.total = found if self.total is None else self.total.add_(found)


def _forward(x: Tensor, weight: Tensor, geometry: Geometry, form: str, store: Store) -> Tensor:
    stride, padding, _ = geometry
    if form == "winograd":
        return winograd.convolve(x, store.kernel(weight))
    if form == "product":
        return product.convolve(x, weight, stride, padding)
    return F.conv2d(x, weight, None, stride, padding)


def _into_input(x: Tensor, weight: Tensor, grad: Tensor, geometry: Geometry, form: str, store: Store) -> Tensor:
    stride, padding, _ = geometry
    if form == "winograd":
        return winograd.convolve(grad, store.kernel(weight, back=True))
    if form == "product":
        return product.input_gradient(grad, weight, x, stride, padding)
    sides, mask = ([stride] * 2, [padding] * 2, [1, 1]), [True, False, False]
    into: Tensor = torch.ops.aten.convolution_backward(grad, x, weight, None, *sides, False, [0, 0], 1, mask)[0]
    return into


class _Shared(torch.autograd.Function):
    """The same kernel; its gradient is what `KernelGradient` has summed once all steps have given theirs."""

    @staticmethod
    def forward(weight: Tensor, gradient: KernelGradient) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, KernelGradient], output: Tensor) -> None:
        ctx.gradient = inputs[1]
        ctx.set_materialize_grads(False)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None]:
        return ctx.gradient.take(), None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, geometry: Geometry, form: Form, store: Store, gradient: KernelGradient | None
    ) -> Tensor:
        return _forward(x, weight, geometry, form, store)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, *ctx.how, ctx.gradient = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if ctx.gradient is not None:
            ctx.gradient.add(x, grad)
        into_x = _into_input(x, weight, grad, *ctx.how) if ctx.needs_input_grad[0] else None
        return into_x, None, None, None, None, None


# What compiled graphs call. A graph is one step's, so its kernels' gradients are made step by step.


@torch.library.custom_op("ventralstream::convolve", mutates_args=())
def _in_graph(x: Tensor, weight: Tensor, stride: int, padding: int, form: str) -> Tensor:
    return _forward(x, weight, (stride, padding, 1), form, _STORE.get() or Store())


@_in_graph.register_fake
def _(x: Tensor, weight: Tensor, stride: int, padding: int, form: str) -> Tensor:
    return F.conv2d(x, weight, None, stride, padding).contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ventralstream::convolve_backward", mutates_args=())
def _backward_in_graph(
    x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int, form: str
) -> tuple[Tensor, Tensor]:
    geometry = stride, padding, 1
    gradient = KernelGradient(weight, geometry)
    gradient.add(x, grad)
    into_weight = gradient.take()
    assert into_weight is not None
    into_x = _into_input(x, weight, grad, geometry, form, Store())
    return tuple(g.contiguous(memory_format=torch.channels_last) for g in (into_x, into_weight))  # type: ignore[return-value]


@_backward_in_graph.register_fake
def _(x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int, form: str) -> tuple[Tensor, Tensor]:
    like = (torch.empty_like(g, memory_format=torch.channels_last) for g in (x, weight))
    return next(like), next(like)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, *ctx.how = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward_in_graph(*ctx.saved_tensors, grad, *ctx.how), None, None, None


_in_graph.register_autograd(_backward, setup_context=_keep)
