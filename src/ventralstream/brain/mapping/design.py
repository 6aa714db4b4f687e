"""Inner products of a feature matrix, made once and shared by every train/test split, target and time bin.

Linear maps need only products of the features with each other and with the targets. With no more features than rows
those are X'X [p, p] (primal form), otherwise XX' [n, n] (dual form); both give the same map. A split's products follow
exactly from those of all rows: by subtracting the rows left out, or by taking a block. All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ventralstream.arrays import as_floats
from ventralstream.device import choose_device
from ventralstream.errors import VentralError

LARGEST_SYSTEM = 40_000  # its eigenvectors alone would need 12.8 GB
_CHUNK = 2048  # features converted to float64 at a time in the dual form


class Design:
    """A feature matrix [rows, features] and the products of its rows or columns.

    Args:
        x: Features [rows, features], an array or tensor; it is not modified.
        device: Where to compute, as for `choose_device`; None: a GPU that has float64 if there is one, else the CPU.

    Raises:
        VentralError: for NaN or infinite features, or where rows and features are both too many.
    """

    def __init__(self, x: Any, device: str | torch.device | None = None) -> None:
        x = as_tensor(x)
        if x.ndim != 2 or not x.numel():
            raise VentralError(f"features have shape {tuple(x.shape)}; expected [rows, features], neither of them 0")
        self.rows: int = x.shape[0]
        self.features: int = x.shape[1]
        if min(x.shape) > LARGEST_SYSTEM:
            raise VentralError(
                f"{self.rows} rows x {self.features} features are too many for a linear map; reduce the features first "
                "(PCA or a sparse random projection)"
            )
        self.device = choose_device(device, double=True)
        self.dual: bool = self.features > self.rows
        self.mean: Tensor = x.mean(0, dtype=torch.float64).to(self.device)  # any shift is exact; this one keeps digits
        squares = self.mean.square()  # of 1e200 they are no longer finite
        if not torch.isfinite(squares).all():
            bad = int((~torch.isfinite(squares)).sum())
            raise VentralError(
                f"{bad} of {self.features} features hold NaN or infinite values; expected finite numbers"
            )
        self._source: Tensor = x
        self.products: Tensor
        if self.dual:
            self.products = torch.zeros(self.rows, self.rows, dtype=torch.float64, device=self.device)
            for start in range(0, self.features, _CHUNK):
                block = self._columns(start)
                self.products.addmm_(block, block.T)
        else:
            self.x: Tensor = x.to(self.device, torch.float64) - self.mean
            self.products = self.x.T @ self.x

    def split(self, train: Any, test: Any) -> Split:
        """The products of one training set (row indices), and what predicts the test rows."""
        on = torch.zeros(self.rows, dtype=torch.bool)
        on[torch.as_tensor(train)] = True
        rest = torch.nonzero(~on)[:, 0].to(self.device)
        train = torch.as_tensor(train, dtype=torch.long, device=self.device)
        test = torch.as_tensor(test, dtype=torch.long, device=self.device)
        if self.dual:
            between = self.products[test][:, train]
            within = self.products[train][:, train]
            column_mean = within.mean(0)
            grand_mean = column_mean.mean()
            system = within - column_mean - column_mean[:, None] + grand_mean
            basis = between - between.mean(1, keepdim=True) - column_mean + grand_mean
            return Split(self, train, system, basis)
        if len(rest) < len(train):
            left_out = self.x[rest]
            mean = -left_out.sum(0) / len(train)  # all rows sum to zero
            system = self.products - left_out.T @ left_out
        else:
            chosen = self.x[train]
            mean = chosen.mean(0)
            system = chosen.T @ chosen
        system.addr_(mean, mean, alpha=-len(train))
        return Split(self, train, system, self.x[test] - mean, mean)

    def project(self, train: Tensor, coefficients: Tensor) -> Tensor:
        """Weights [features, m] of dual coefficients [train rows, m] that sum to zero."""
        parts = [self._columns(start)[train].T @ coefficients for start in range(0, self.features, _CHUNK)]
        return torch.cat(parts)

    def _columns(self, start: int) -> Tensor:
        stop = start + _CHUNK
        return self._source[:, start:stop].to(self.device, torch.float64) - self.mean[start:stop]


@dataclass(frozen=True)
class Split:
    """One training set of a design: a map's coefficients B [d, m] solve a problem in `system` and `right(y)`.

    Attributes:
        design: Where it comes from.
        train: Its rows.
        system: The training rows' centred X'X [p, p], or XX' [n, n] in the dual form.
        basis: What predicts the test rows: prediction = basis @ B + mean of the training targets.
        mean: Mean of the (shifted) training rows, in the primal form.
    """

    design: Design
    train: Tensor
    system: Tensor
    basis: Tensor
    mean: Tensor | None = None

    @property
    def dual(self) -> bool:
        """Whether the system is XX'."""
        return self.design.dual

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (not negative) and eigenvectors of the system.

        The dual system is singular along the constant vector, which centred targets never meet; it is given the
        system's trace as its eigenvalue, so that it stays apart from small ones.
        """
        system = self.system
        if self.dual:
            system = system + system.diagonal().sum() / len(system)
        values, vectors = torch.linalg.eigh(system)
        return values.clamp_(min=0), vectors

    def right(self, y: Tensor) -> Tensor:
        """The right-hand side [d, m] of centred targets y [train rows, m]: X'y, or y itself in the dual form."""
        if self.dual:
            return y
        padded = torch.zeros(self.design.rows, y.shape[1], dtype=y.dtype, device=y.device)
        padded[self.train] = y  # rows of zeros instead of a copy of the training features
        return self.design.x.T @ padded

    def features(self) -> Tensor:
        """The centred training features [train rows, p]; primal form only."""
        assert self.mean is not None
        return self.design.x[self.train] - self.mean

    def weights(self, coefficients: Tensor) -> Tensor:
        """The weights [features, m] on the features themselves, of coefficients [d, m]."""
        if not self.dual:
            return coefficients
        return self.design.project(self.train, coefficients - coefficients.mean(0))


def as_tensor(values: Any) -> Tensor:
    """A tensor that shares the memory of `values` where that is allowed, in floating point."""
    if isinstance(values, Tensor):
        tensor = values
    else:
        array = as_floats(values, "features and targets")
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor if tensor.is_floating_point() else tensor.to(torch.float64)
