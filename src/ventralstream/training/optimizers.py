"""Optimisers, as data; torch is imported when one is built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Amount, Fraction, Positive

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Optimizer(Spec):
    """Base of the optimisers' options.

    Attributes:
        lr: The highest learning rate; the schedule multiplies it.
        weight_decay: Applied to weights; biases, gains of normalisations and scalars have none (our choice).
    """

    lr: Positive
    weight_decay: Amount

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Makes the optimiser of some parameters."""
        matrices: list[torch.nn.Parameter] = []
        vectors: list[torch.nn.Parameter] = []
        for p in parameters:
            (matrices if p.dim() > 1 else vectors).append(p)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return self._of([group for group in groups if group["params"]])

    def _of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        raise NotImplementedError


@tagged("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    Attributes:
        momentum: The part of the last update that goes on; 0 for none.
        nesterov: Whether the gradient is that after the momentum's step (Nesterov's).
    """

    lr: Positive = 0.1
    weight_decay: Amount = 5e-4
    momentum: Fraction = 0.9
    nesterov: bool = True

    def _of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.SGD(groups, self.lr, momentum=self.momentum, nesterov=self.nesterov and self.momentum > 0)


@tagged("adamw")
@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    lr: Positive = 2e-3
    weight_decay: Amount = 0.05

    def _of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.AdamW(groups, self.lr)
