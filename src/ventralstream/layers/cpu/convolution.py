"""Convolutions inside an unroll on a CPU: each in the form that is fastest, sharing over steps what can be shared.

There are three forms, equal to the precision of the numbers' type: torch's own, Winograd's (`winograd`), and a product
of matrices (`product`). A kernel is applied at many steps of one unroll: it is brought to the layout that its form
reads, or transformed, once for all of them, and where it is large its gradient is made once, from what all its steps
gave. Where gradients are themselves differentiated or mapped over, each step's are torch's own.

Under autocast a kernel is also brought to the lower precision once, and its gradient, where it is collected here, is
summed over the steps in the kernel's own.

Two things of the engine are needed for which torch has no public name: the number of the backward pass that is running,
and whether it will come to a node.

The bounds below were found by timing the kernels of the registered models on two cores with AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.grad import conv2d_input, conv2d_weight

from ventralstream.layers import shortcuts
from ventralstream.layers.cpu import product, winograd

Form = Literal["torch", "winograd", "product"]
Geometry = tuple[int, int, int]  # stride, padding, groups

_WINOGRAD_CHANNELS = 2**14  # in times out: with fewer the transforms cost what the products gain
_WINOGRAD_TILES = 48  # with fewer the products of transformed kernels are too thin to gain anything
_WINOGRAD_FILLING = 8  # positions a tile of 16; with fewer (maps of 2 x 2) what the tiles gain is lost on their rest
_PRODUCT_CHANNELS = 2**20  # in times out: above, torch's own spends its time reordering the kernel
_PRODUCT_CHANNELS_OF_GRADIENT = 2**15  # the same for the kernel's gradient
_FEW_POSITIONS = 16  # maps of 4 x 4 and less: torch is slow on them
_PRODUCT_CHANNELS_FEW = 2**17  # in times out, on such maps


class Store:
    """What the convolutions of one unroll share."""

    def __init__(self) -> None:
        # numbers alone; the weight is kept too, so that no other tensor gets its address
        self._kernels: dict[Any, tuple[Tensor, Tensor]] = {}
        self._laid_out: dict[Any, tuple[Tensor, Tensor]] = {}
        # what gradients flow through
        self._tracked: dict[Any, tuple[Tensor, Tensor]] = {}
        self._collecting: dict[Any, tuple[Tensor, KernelGradient, Tensor]] = {}

    def apart(self) -> Store:
        """That of a part of the unroll which will be computed again: of what is here it shares numbers alone."""
        other = Store()
        other._kernels, other._laid_out = self._kernels, self._laid_out
        return other

    def kernel(self, weight: Tensor, back: bool = False) -> Tensor:
        """The kernel transformed for Winograd's form, and with `back` for carrying gradients back."""
        key = (*_key(weight), back)
        if key not in self._kernels:
            w = weight.detach()
            self._kernels[key] = (winograd.transform_back(w) if back else winograd.transform(w), weight)
        return self._kernels[key][0]

    def laid_out(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The kernel with its channels last and in this type, as torch's convolution reads it; else each call would
        make it so.
        """
        if weight.dtype == dtype and weight.is_contiguous(memory_format=torch.channels_last):
            return weight
        tracked = torch.is_grad_enabled() and weight.requires_grad
        made, key = (self._tracked, _owned(weight)) if tracked else (self._laid_out, _key(weight))
        if (key, dtype) not in made:
            made[key, dtype] = (weight.to(dtype).contiguous(memory_format=torch.channels_last), weight)
        return made[key, dtype][0]

    def collecting(self, weight: Tensor, geometry: Geometry) -> tuple[Tensor, KernelGradient]:
        """The kernel as all steps see it, and what collects their gradients."""
        key = (*_owned(weight), geometry)
        if key not in self._collecting:
            gradient = KernelGradient(weight.detach(), geometry)
            self._collecting[key] = (_Collect.apply(weight, gradient), gradient, weight)
        return self._collecting[key][:2]

    def forget(self) -> None:
        """Forgets what gradients flow through, which convolutions that wait for their backward pass would keep."""
        self._tracked.clear()
        self._collecting.clear()

    def clear(self) -> None:
        """Forgets all; it is made again if it is needed again."""
        self.forget()
        self._kernels.clear()
        self._laid_out.clear()


_STORE: ContextVar[Store | None] = ContextVar("store", default=None)
_CHOOSING: ContextVar[bool] = ContextVar(
    "choosing", default=False
)  # whether there is a store; compiled code reads this


def within(store: Store | None, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, in which convolutions use this store; with None they are torch's own."""

    def run(*args: Any) -> Any:
        tokens = _STORE.set(store), _CHOOSING.set(store is not None)
        try:
            return call(*args)
        finally:
            _STORE.reset(tokens[0])
            _CHOOSING.reset(tokens[1])

    return run


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int = 1) -> Tensor:
    """F.conv2d; inside an unroll on a CPU in the form that is fastest."""
    geometry, learns = (stride, padding, groups), torch.is_grad_enabled() and weight.requires_grad
    dtype = _type(x)
    form: Form = "torch"
    form_of_gradient: Form = "torch"
    if _CHOOSING.get() and _may_choose(x, weight, groups):
        form = _form(x, dtype, weight, geometry)
        form_of_gradient = _form(x, dtype, weight, geometry, of_gradient=True) if learns else "torch"
    if form == form_of_gradient == "torch":
        store = None if torch.compiler.is_compiling() or shortcuts.functional() else _STORE.get()
        if store is not None and x.device.type == "cpu" and _primal(weight):
            weight = store.laid_out(weight, dtype)
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)
    if torch.compiler.is_compiling():
        y: Tensor = _in_graph(x, weight, stride, padding, form)
    else:
        store = _STORE.get()
        assert store is not None
        seen, gradient = store.collecting(weight, geometry) if learns else (weight, None)
        y = _Convolution.apply(x.to(dtype), seen, geometry, form, store, gradient)
    return y if bias is None else y + bias.to(dtype).view(1, -1, 1, 1)


def _type(x: Tensor) -> torch.dtype:
    """The type that a convolution of x computes in: its own, or autocast's."""
    lowered = torch.is_autocast_enabled("cpu") and x.device.type == "cpu" and x.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if lowered and x.is_floating_point() else x.dtype


def _may_choose(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether the other forms can do this convolution."""
    lowered = torch.is_autocast_enabled("cpu")
    exact = weight.dtype in (torch.float32, torch.float64) and (lowered or x.dtype == weight.dtype)
    if not exact or x.device.type != "cpu" or groups > 1 or x.numel() == 0:
        return False
    if torch.compiler.is_compiling():
        return not lowered
    if shortcuts.functional():
        return False
    ordinary = type(x) is Tensor and type(weight) in (Tensor, nn.Parameter)  # not one that only stands for numbers
    return ordinary and all(_primal(t) for t in (x, weight))


def _stored(x: Tensor) -> bool:
    """Whether x has numbers of its own; one that stands for many in a map over a batch has none."""
    try:
        x.untyped_storage()
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _primal(x: Tensor) -> bool:
    tangent: Tensor | None = forward_ad.unpack_dual(x).tangent  # type: ignore[no-untyped-call]
    return tangent is None


def _form(x: Tensor, dtype: torch.dtype, weight: Tensor, geometry: Geometry, of_gradient: bool = False) -> Form:
    """The form that is fastest, or that is for the kernel's gradient; x will be of `dtype`."""
    channels, few = weight.shape[0] * weight.shape[1], x.shape[2] * x.shape[3] <= _FEW_POSITIONS
    if dtype in (torch.bfloat16, torch.float16):
        return "product" if of_gradient and few and channels >= _WINOGRAD_CHANNELS else "torch"
    fits = weight.shape[2:] == (3, 3) and geometry == (1, 1, 1) and dtype == torch.float32
    tiles, positions = winograd.tiles(x), x.shape[0] * x.shape[2] * x.shape[3]
    enough = channels >= _WINOGRAD_CHANNELS and tiles >= _WINOGRAD_TILES and positions >= _WINOGRAD_FILLING * tiles
    if fits and enough:
        return "winograd"
    least = _PRODUCT_CHANNELS_OF_GRADIENT if of_gradient else _PRODUCT_CHANNELS_FEW if few else _PRODUCT_CHANNELS
    return "product" if channels >= least else "torch"


def _key(weight: Tensor) -> tuple[int, torch.Size, tuple[int, ...]]:
    return weight.data_ptr(), weight.shape, weight.stride()


def _owned(weight: Tensor) -> tuple[Any, ...]:
    owner = weight._base if weight._is_view() else weight  # slices are new tensors at every step
    return (id(owner), *_key(weight))


class KernelGradient:
    """Collects a kernel's gradient over the steps, for each backward pass on its own.

    Pairs of an input and its output's gradient wait until they hold as many numbers as the kernel, so that a large
    kernel is gone through once for several steps.
    """

    def __init__(self, weight: Tensor, geometry: Geometry) -> None:
        self.weight, self.geometry = weight, geometry
        self._sums: dict[int, _Sum] = {}

    def add(self, x: Tensor, grad: Tensor) -> None:
        """Takes what one step gives."""
        # the number of the backward pass that is running: passes over one graph may run inside or beside each other
        total = self._sums.setdefault(torch._C._current_graph_task_id(), _Sum())
        total.waiting.append((x.detach(), grad.detach()))
        if sum(a.numel() + b.numel() for a, b in total.waiting) >= self.weight.numel():
            self._count(total)

    def take(self) -> Tensor | None:
        """What the running backward pass has collected; None if nothing."""
        total = self._sums.pop(torch._C._current_graph_task_id(), None)
        if total is None:
            return None
        self._count(total)
        found = None if total.products is None else winograd.kernel_gradient(total.products)
        gradient = None if total.gradient is None else total.gradient.contiguous()  # as the kernel lies
        return gradient if found is None else found if gradient is None else found.add_(gradient)

    def _count(self, total: _Sum) -> None:
        by_size: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for x, grad in total.waiting:
            by_size.setdefault(x.shape[2:], []).append((x, grad))
        total.waiting = []
        for pairs in by_size.values():
            xs, grads = zip(*pairs, strict=True)
            x, grad = (xs[0], grads[0]) if len(xs) == 1 else (torch.cat(xs), torch.cat(grads))
            if _form(x, x.dtype, self.weight, self.geometry, of_gradient=True) == "winograd":
                found = winograd.gradient_products(x, grad)
                total.products = found if total.products is None else total.products.add_(found)
            else:
                stride, padding, _ = self.geometry
                found = product.kernel_gradient(x, grad, self.weight, stride, padding).to(self.weight.dtype)
                total.gradient = found if total.gradient is None else total.gradient.add_(found)


class _Sum:
    """What one backward pass has collected for a kernel: waiting, in Winograd's terms, and in the kernel's own."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Tensor, Tensor]] = []
        self.products: Tensor | None = None
        self.gradient: Tensor | None = None


def _forward(x: Tensor, weight: Tensor, geometry: Geometry, form: str, store: Store) -> Tensor:
    stride, padding, _ = geometry
    if form == "winograd":
        return winograd.convolve(x, store.kernel(weight))
    if form == "product":
        return product.convolve(x, weight.to(x.dtype), stride, padding)
    return F.conv2d(x, store.laid_out(weight, x.dtype), None, stride, padding)


def _into_input(x: Tensor, weight: Tensor, grad: Tensor, geometry: Geometry, form: str, store: Store) -> Tensor:
    stride, padding, _ = geometry
    if form == "winograd":
        return winograd.convolve(grad, store.kernel(weight, back=True))
    if form == "product":
        return product.input_gradient(grad, weight.to(x.dtype), x, stride, padding)
    sides, mask = ([stride] * 2, [padding] * 2, [1, 1]), [True, False, False]
    weight = store.laid_out(weight, grad.dtype)
    into: Tensor = torch.ops.aten.convolution_backward(grad, x, weight, None, *sides, False, [0, 0], 1, mask)[0]
    return into


# A kernel's gradient takes a way of its own. All steps read the kernel through one _Collect. Backward, each step's
# _Convolution hands its share to a KernelGradient and returns None for the kernel; autograd still counts these, so that
# _Collect's turn comes when all steps of the pass have had theirs, and it returns the sum. Gradients that torch itself
# made come to it as usual.


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(weight: Tensor, gradient: KernelGradient) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, KernelGradient], output: Tensor) -> None:
        ctx.gradient = inputs[1]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None]:
        collected = ctx.gradient.take()
        if grad is None or collected is None:
            return (collected if grad is None else grad), None
        return grad + collected, None


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
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled() or not _stored(grad):  # gradients of gradients, or of a batch of outputs
            sides = ctx.how[0][:2]
            wants_x, wants_weight, *_ = ctx.needs_input_grad
            into_x = conv2d_input(x.shape, weight.to(x.dtype), grad, *sides) if wants_x else None  # type: ignore[no-untyped-call]
            into_weight = conv2d_weight(x, weight.shape, grad, *sides) if wants_weight else None  # type: ignore[no-untyped-call]
            return into_x, None if into_weight is None else into_weight.to(weight.dtype), None, None, None, None
        # the second: the kernel's _Collect, which runs only if the kernel's gradient is asked for
        if ctx.gradient is not None and torch._C._will_engine_execute_node(ctx.next_functions[1][0]):
            ctx.gradient.add(x, grad)
        into_x = _into_input(x, weight, grad, *ctx.how) if ctx.needs_input_grad[0] else None
        return into_x, None, None, None, None, None


# What compiled graphs call. A graph is one step's, so its kernels' gradients are made step by step.


@torch.library.custom_op("ventralstream::convolve", mutates_args=())
def _in_graph(x: Tensor, weight: Tensor, stride: int, padding: int, form: str) -> Tensor:
    y = _forward(x, weight, (stride, padding, 1), form, _STORE.get() or Store())
    return y.contiguous(memory_format=torch.channels_last)  # as the operator's fake says


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
    return into_x.contiguous(memory_format=torch.channels_last), into_weight.contiguous()


@_backward_in_graph.register_fake
def _(x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int, form: str) -> tuple[Tensor, Tensor]:
    into_x = torch.empty_like(x, memory_format=torch.channels_last)
    return into_x, torch.empty_like(weight, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, *ctx.how = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward_in_graph(*ctx.saved_tensors, grad, *ctx.how), None, None, None


_in_graph.register_autograd(_backward, setup_context=_keep)
