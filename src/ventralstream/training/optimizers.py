"""Optimisers, as data; torch is imported when one is built."""

from __future__ import annotations

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
        weight_decay: Applied to weights; biases, gains of normalisations and scalars have none (our choice), unless
            `decay_all`.
        decay_all: Whether biases, gains and scalars decay as well, as they do by torch's optimisers' defaults.
    """

    lr: Positive
    weight_decay: Amount
    decay_all: bool = False

    def build(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Makes the optimiser of a module; each of its groups has the schedule's factor times its initial_lr."""
        matrices: list[torch.nn.Parameter] = []
        vectors: list[torch.nn.Parameter] = []
        for p in module.parameters():
            (matrices if p.dim() > 1 else vectors).append(p)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "initial_lr": self.lr, "weight_decay": self.weight_decay},
            {"params": vectors, "initial_lr": self.lr, "weight_decay": self._of_vectors},
        ]
        return self._of([group for group in groups if group["params"]])

    @property
    def _of_vectors(self) -> float:
        return self.weight_decay if self.decay_all else 0.0

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


@tagged("muon")
@dataclass(frozen=True)
class Muon(Optimizer):
    """Muon for the filters, and AdamW for all else.

    Muon (Jordan et al. 2024) moves a filter along the orthogonal matrix that is nearest to the gradient's running mean,
    so that all directions are learnt equally fast. Filters are convolutions' kernels that read at least 8 channels (our
    choice: those of the image, depthwise ones, maps, gains, biases and the linear readout go to AdamW).

    Attributes:
        lr: Of the filters: about the largest change of a filter's singular values in one step.
        weight_decay: Of all filters and matrices, decoupled: each step takes `lr` times it of the weights away.
        momentum: The part of the running mean that is kept.
        other_lr: The highest learning rate of AdamW.
    """

    lr: Positive = 0.05
    weight_decay: Amount = 0.05
    momentum: Fraction = 0.9
    other_lr: Positive = 0.01

    def build(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """As its base says."""
        from ventralstream.training.muon import MuonWithAdam, reading_many

        kernels = reading_many(module)
        filters: list[torch.nn.Parameter] = []
        matrices: list[torch.nn.Parameter] = []
        vectors: list[torch.nn.Parameter] = []
        for p in module.parameters():
            (filters if id(p) in kernels else matrices if p.dim() > 1 else vectors).append(p)
        kinds = ((filters, self.lr, self.weight_decay), (matrices, self.other_lr, self.weight_decay))
        groups: list[dict[str, Any]] = [
            {"params": of, "lr": lr, "initial_lr": lr, "weight_decay": decay, "momentum": self.momentum}
            for of, lr, decay in (*kinds, (vectors, self.other_lr, self._of_vectors))
        ]
        for group in groups:
            group["orthogonal"] = group["params"] is filters
        return MuonWithAdam([group for group in groups if group["params"]])
