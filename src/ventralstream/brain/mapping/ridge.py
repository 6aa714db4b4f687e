"""Ridge regression, with one given penalty or with penalties chosen by exact leave-one-out.

Both work on the smaller of X'X and XX' (`design.Design`), so that 50,000 features cost no more than their images do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ventralstream.brain.mapping.design import Split
from ventralstream.brain.mapping.linear import Mapping
from ventralstream.errors import VentralError

ALPHAS = tuple(sorted({float(a) for a in (*np.geomspace(1e-9, 1e5, 15), *(5 * np.geomspace(1e-4, 1e4, 9)))}))
"""The penalties in the fits of Nayebi's own code (docs/papers.md A.8)."""


@dataclass(frozen=True)
class Ridge(Mapping):
    """Ridge regression with an unpenalised intercept, features not scaled.

    Attributes:
        alpha: The penalty on the sum of squared weights, above 0; 1 as in Brain-Score.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise VentralError(f"ridge with alpha {self.alpha}; expected a number above 0")

    def coefficients(self, split: Split, y: Tensor) -> Tensor:
        system = split.system.clone()
        system.diagonal().add_(self.alpha)
        solved = torch.cholesky_solve(split.right(y.flatten(1)), torch.linalg.cholesky(system))
        return solved.reshape(-1, *y.shape[1:])


@dataclass(frozen=True)
class RidgeCV(Mapping):
    """Ridge regression whose penalty has the least squared leave-one-out error on the training rows.

    The error is exact: of maps, intercept included, refitted without each row, in closed form.

    Attributes:
        alphas: The penalties to choose from, above 0; the default is docs/papers.md A.8's.
        per_target: One penalty a target; otherwise one a fit (a group), as scikit-learn's RidgeCV does by default.
    """

    alphas: tuple[float, ...] = ALPHAS
    per_target: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas", tuple(float(a) for a in self.alphas))
        if not self.alphas or not all(a > 0 for a in self.alphas):
            raise VentralError("ridge_cv needs at least one alpha, and every alpha above 0")

    def coefficients(self, split: Split, y: Tensor) -> Tensor:
        return self._solve(split, y)[0]

    def chosen(self, split: Split, y: Tensor) -> Tensor:
        """The penalty chosen for each target, [groups, targets], of centred targets y [train rows, groups, targets]."""
        return self._solve(split, y)[1]

    def _solve(self, split: Split, y: Tensor) -> tuple[Tensor, Tensor]:
        flat = y.flatten(1)
        values, vectors = split.spectrum
        right = vectors.T @ split.right(flat)
        best = torch.full(y.shape[1:], torch.inf, dtype=y.dtype, device=y.device)
        alpha = torch.full_like(best, self.alphas[0])
        for candidate, residual in _leave_one_out(split, values, vectors, right, flat, self.alphas):
            error = residual.square_().mean(0).reshape(best.shape)
            if not self.per_target:
                error = error.mean(1, keepdim=True).expand_as(error)
            better = error < best
            best = torch.where(better, error, best)
            alpha = torch.where(better, candidate, alpha)
        solved = vectors @ (right / (values[:, None] + alpha.flatten()))
        return solved.reshape(-1, *y.shape[1:]), alpha


def _leave_one_out(
    split: Split, values: Tensor, vectors: Tensor, right: Tensor, y: Tensor, alphas: tuple[float, ...]
) -> Iterator[tuple[float, Tensor]]:
    """For each penalty the residuals [train rows, targets] that leave the row itself out.

    A residual is the in-sample one over 1 - leverage, the intercept's leverage 1/n included. In the dual form both
    carry a factor alpha, cancelled here before it can round: residual = (K + alpha)^-1 y, 1 - leverage likewise.
    """
    rows = len(split.train)
    if split.dual:
        basis, squares = vectors, vectors.square()
        constant = split.system.diagonal().sum()
        for alpha in alphas:
            inverse = 1 / (values + alpha)
            without = squares @ inverse - 1 / (rows * (constant + alpha))
            yield alpha, (basis @ (inverse[:, None] * right)) / without[:, None]
        return
    basis = split.features() @ vectors
    squares = basis.square()
    for alpha in alphas:
        inverse = 1 / (values + alpha)
        leverage = squares @ inverse + 1 / rows
        yield alpha, (y - basis @ (inverse[:, None] * right)) / (1 - leverage)[:, None]
