"""The convolutions of a training step alone: what no step of the same network can be faster than.

A step's convolutions are noted where they are called: shapes, arguments, which kernel, and whether their input needs a
gradient. The replay runs the same ones on other numbers, each through the form that the library takes, forward and
backward, kernels shared as in the step, with nothing between them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

import ventralstream as vs
from ventralstream.layers.cpu import convolution


@dataclass(frozen=True)
class Call:
    """One convolution: `kernel` numbers the weight in the order of first use."""

    transposed: bool
    input: tuple[int, ...]
    kernel: int
    bias: bool
    learns_input: bool
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


class Log(TorchFunctionMode):
    """Notes every convolution."""

    KINDS: ClassVar[dict[Any, bool]] = {F.conv2d: False, F.conv_transpose2d: True}

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.kernels: list[torch.Tensor] = []  # held, so that no two have the same identity
        self.numbers: dict[Any, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.KINDS:
            x, weight, bias, *rest = (*args, None) if len(args) == 2 else args
            key = weight.data_ptr(), weight.shape
            number = self.numbers.setdefault(key, len(self.numbers))
            if number == len(self.kernels):
                self.kernels.append(weight)
            named = tuple((k, v) for k, v in kwargs.items() if k != "bias")
            has_bias = bias is not None or kwargs.get("bias") is not None
            shape = tuple(x.shape)
            self.calls.append(Call(self.KINDS[func], shape, number, has_bias, x.requires_grad, tuple(rest), named))
        return func(*args, **kwargs)


def _one(side: Any) -> int:
    return int(side[0] if isinstance(side, tuple) else side)


def noted(net: vs.Network, x: torch.Tensor) -> Log:
    """The convolutions of a training step."""
    fast, net.fast_convolutions = net.fast_convolutions, False
    with Log() as log:
        net(x)
    net.fast_convolutions = fast
    return log


def replay(net: vs.Network, x: torch.Tensor, precision: torch.dtype = torch.float32) -> Callable[[], None]:
    """A training step's convolutions, forward and backward, on random numbers; the weights of `net` are not touched."""
    log = noted(net, x)
    device = x.device
    last = torch.channels_last
    kernels = [k.detach().clone().contiguous().requires_grad_() for k in log.kernels]
    inputs: dict[Any, torch.Tensor] = {}
    for c in log.calls:
        if (c.input, c.learns_input) not in inputs:
            made = torch.randn(c.input, device=device).to(precision).contiguous(memory_format=last)
            inputs[c.input, c.learns_input] = made.requires_grad_(c.learns_input)
    biases: dict[int, torch.Tensor] = {}
    for c in log.calls:
        if c.bias:
            channels = kernels[c.kernel].shape[1 if c.transposed else 0]
            biases[c.kernel] = torch.zeros(channels, device=device, requires_grad=True)
    gradients: dict[torch.Size, torch.Tensor] = {}

    def autocast() -> AbstractContextManager[Any]:
        return nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)

    def convolve(call: Call) -> torch.Tensor:
        # an input of its own, so that gradients are not added up, which in the network other operations take
        x = inputs[call.input, call.learns_input].detach().requires_grad_(call.learns_input)
        weight, bias, named = kernels[call.kernel], biases.get(call.kernel), dict(call.kwargs)
        if call.transposed:
            return F.conv_transpose2d(x, weight, bias, *call.args, **named)
        geometry = dict(zip(("stride", "padding", "dilation", "groups"), call.args, strict=False)) | named
        stride, padding, groups = geometry.get("stride", 1), geometry.get("padding", 0), geometry.get("groups", 1)
        return convolution.convolve(x, weight, bias, _one(stride), _one(padding), groups)

    def run() -> None:
        store = convolution.Store() if net.fast_convolutions else None
        with autocast():
            results = [convolution.within(store, convolve)(call) for call in log.calls]
        for y in results:
            if y.shape not in gradients:
                gradients[y.shape] = torch.randn_like(y)
        torch.autograd.backward(results, [gradients[y.shape] for y in results])
        for leaf in (*kernels, *biases.values()):
            leaf.grad = None

    return run
