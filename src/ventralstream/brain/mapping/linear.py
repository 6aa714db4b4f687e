"""What all mappings from features to neuroids share: fit, predict, and prediction of held-out rows for many splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ventralstream.arrays import as_floats
from ventralstream.brain.mapping.design import Design, Split, as_tensor
from ventralstream.errors import VentralError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LinearMap:
    """A fitted map: prediction = x @ weights + intercept.

    Attributes:
        weights: [features, targets].
        intercept: [targets].
    """

    weights: Array
    intercept: Array

    def predict(self, x: Any) -> Array:
        """Predicts targets [rows, targets] from features [rows, features]."""
        x = as_floats(x, "features")
        if x.ndim != 2 or x.shape[1] != len(self.weights):
            raise VentralError(f"features have shape {x.shape}; this map expects [rows, {len(self.weights)}]")
        return np.asarray(x @ self.weights + self.intercept)


class Mapping(ABC):
    """A way to fit a linear map with an intercept; subclasses hold its options."""

    @abstractmethod
    def coefficients(self, split: Split, y: Tensor) -> Tensor:
        """Coefficients [d, groups, targets] of centred targets y [train rows, groups, targets].

        Each group is a fit of its own (PLS ties the targets of a fit together).
        """

    def fit(self, x: Any, y: Any, device: str | torch.device | None = None) -> LinearMap:
        """Fits a map from features x [rows, features] to targets y [rows, targets], or [rows] for one target.

        Raises:
            VentralError: if rows do not match, values are not finite, or the data are too few for the mapping.
        """
        design = Design(x, device)
        targets = as_targets(y, design)
        return fit_split(self, design, targets.reshape(design.rows, 1, -1), np.arange(design.rows))[0]


def fit_split(mapping: Mapping, design: Design, y: Tensor, train: Any) -> list[LinearMap]:
    """Fits one map a group on the training rows, of targets y [rows, groups, targets]."""
    split = design.split(train, np.arange(0))
    y_train = y[split.train]
    mean = y_train.mean(0)
    coefficients = mapping.coefficients(split, y_train - mean)
    weights = split.weights(coefficients.flatten(1)).reshape(design.features, *coefficients.shape[1:])
    intercept = mean - torch.einsum("p,pgq->gq", design.mean + (0 if split.mean is None else split.mean), weights)
    if split.dual:  # the training rows' own mean, in the dual form
        shift = design.products[split.train].mean(0)[split.train]
        intercept = intercept - torch.einsum("n,ngq->gq", shift, coefficients - coefficients.mean(0))
    return [LinearMap(weights[:, g].cpu().numpy(), intercept[g].cpu().numpy()) for g in range(coefficients.shape[1])]


def held_out(mapping: Mapping, design: Design, y: Tensor, splits: Iterable[tuple[Any, Any]]) -> Iterator[Tensor]:
    """Predictions [test rows, groups, targets] of the test rows of each split, from maps fitted on its training rows.

    Args:
        mapping: How to fit.
        design: The features of all rows.
        y: Targets [rows, groups, targets].
        splits: Pairs (train rows, test rows).
    """
    for train, test in splits:
        split = design.split(train, test)
        y_train = y[split.train]
        mean = y_train.mean(0)
        coefficients = mapping.coefficients(split, y_train - mean)
        yield (split.basis @ coefficients.flatten(1)).reshape(len(test), *coefficients.shape[1:]) + mean


def as_targets(y: Any, design: Design) -> Tensor:
    """Targets as float64 on the design's device, checked to be finite and as many as its rows."""
    targets = as_tensor(y).to(design.device, torch.float64)
    if not targets.ndim or len(targets) != design.rows:
        raise VentralError(
            f"{design.rows} rows of features but {len(targets) if targets.ndim else 0} of targets; expected the same"
        )
    if not torch.isfinite(targets).all():
        raise VentralError("the targets hold NaN or infinite values; expected finite numbers")
    return targets
