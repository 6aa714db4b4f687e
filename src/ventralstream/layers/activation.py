"""Pointwise non-linearities."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ventralstream.layers.specs import ActivationName

MODULES: dict[ActivationName, type[nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
}
OF_ZERO: dict[ActivationName, float] = {"sigmoid": 0.5, "softplus": math.log(2)}  # 0 for the others


def activate(x: Tensor, name: ActivationName) -> Tensor:
    """The non-linearity of x. Torch's function is looked up at every call, as tools that replace those expect."""
    if name == "identity":
        return x
    result: Tensor = getattr(F, name)(x)
    return result


def overwriting(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """The activation that writes into its input, if the module has one."""
    if type(module) is nn.ReLU:
        return torch.relu_
    return F.elu_ if type(module) is nn.ELU else None
