"""Who else looks: hooks, transforms of functions, tracers. What goes around a module is done only where nobody does.

By itself every layer calls its modules, each once, and torch's own operations: what hooks, adapters, exporters and
differentiation in other ways than backwards expect. An unroll that nobody looks at allows shortcuts: parts of a
convolution, activations that overwrite their input, other forms of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import nn

from ventralstream.layers.walk import walk

R = TypeVar("R")

_ALLOWED: ContextVar[bool] = ContextVar("shortcuts", default=False)
_PLAINLY: ContextVar[bool] = ContextVar("plainly", default=False)
_SETTLED: ContextVar[bool] = ContextVar("settled", default=False)


def allowed() -> bool:
    """Whether a module may be gone around here, if it is one of torch's and has nothing hung on it."""
    return _ALLOWED.get()


def allowing(call: Callable[..., R]) -> Callable[..., R]:
    """The same function, in which shortcuts are allowed."""

    def run(*args: Any) -> R:
        token = _ALLOWED.set(True)
        try:
            return call(*args)
        finally:
            _ALLOWED.reset(token)

    return run


@contextmanager
def plainly() -> Iterator[None]:
    """Inside, networks are unrolled as they are where hooks wait: call by call, bit for bit the same with and without.

    Only tools that compare a watched call with an unwatched one to the last bit need it.
    """
    token = _PLAINLY.set(True)
    try:
        yield
    finally:
        _PLAINLY.reset(token)


@contextmanager
def settled() -> Iterator[None]:
    """While it lasts, parameters hold the values that they had when they were last looked at (a tracer hides them)."""
    token = _SETTLED.set(True)
    try:
        yield
    finally:
        _SETTLED.reset(token)


def are_settled() -> bool:
    """Whether what was found by looking still holds."""
    return _SETTLED.get()


def hooked(module: nn.Module) -> bool:
    """Whether calling this module runs more than its forward: hooks of its own, or a forward set on the instance."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )


def watched(network: nn.Module) -> bool:
    """Whether hooks wait for calls inside the network: on one of its modules, or on every module (or `plainly` is on).

    Hooks on the network itself see its call in any case. Torch has no public list of a module's hooks, nor of the
    global ones.
    """
    if _PLAINLY.get() or _everywhere():
        return True
    return any(hooked(module) for module in walk(network)[1:])


def traced() -> bool:
    """Whether a call is traced: compiled as a whole, or exported."""
    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[no-untyped-call, attr-defined]


def functional() -> bool:
    """Whether one of torch.func's transforms (vmap, grad, jvp, ...) is on; torch has no public name for this."""
    return torch._C._are_functorch_transforms_active()


def transformed() -> bool:
    """Whether a call is traced, or under one of torch.func's transforms."""
    return traced() or functional()


def untouched(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether calling the module is no more than `kind`'s forward: it was not replaced, parametrised or hooked."""
    return type(module) is kind and not hooked(module) and not _everywhere()


def _everywhere() -> bool:
    """Whether hooks wait for every module's calls."""
    return bool(torch.nn.modules.module._has_any_global_hook())  # type: ignore[no-untyped-call]
