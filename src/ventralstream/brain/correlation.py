"""Correlation per neuroid, median over neuroids, mean over splits, of arrays with NaN for what is undefined."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ventralstream.arrays import as_floats

Floats = NDArray[np.float64]

_ROUNDING = 1e-12  # a spread this much below a reference is rounding, not variance


def pearson(prediction: NDArray[Any], target: NDArray[Any], *, constant: float = np.nan) -> Floats:
    """Pearson's r over the first axis, of arrays [stimuli, ...] that broadcast.

    Args:
        prediction: What predicts; NaN is missing.
        target: What is predicted; stimuli missing in either are left out.
        constant: r of a prediction that does not vary while its target does. (Of a target that does not vary: NaN.)

    Returns:
        r, of the shape of one stimulus.
    """
    x, y = np.broadcast_arrays(*(as_floats(a).astype(np.float64, copy=False) for a in (prediction, target)))
    there = np.isfinite(x) & np.isfinite(y)
    if there.all():
        n: Any = len(x)
        xm, ym = x.mean(0), y.mean(0)
        x, y = x - xm, y - ym
    else:
        n = np.maximum(there.sum(0), 1)
        xm, ym = (np.where(there, a, 0).sum(0) / n for a in (x, y))
        x, y = (np.where(there, a - m, 0) for a, m in ((x, xm), (y, ym)))
    x_norm, y_norm = (np.sqrt(np.square(a).sum(0)) for a in (x, y))
    y_varies = y_norm > _ROUNDING * np.sqrt(n) * np.abs(ym)
    x_varies = x_norm > _ROUNDING * (np.sqrt(n) * np.abs(xm) + (0 if np.isnan(constant) else y_norm))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.clip((x * y).sum(0) / (x_norm * y_norm), -1, 1)
    return np.asarray(np.where(y_varies, np.where(x_varies, r, constant), np.nan))


def median(values: NDArray[Any], axis: int) -> Floats:
    """The median over an axis, NaN left out; NaN where nothing is left."""
    if not np.isnan(values).any():
        return np.asarray(np.median(values, axis=axis))
    ordered = np.sort(values, axis=axis)  # NaN last
    n = np.isfinite(ordered).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis)
    high = np.take_along_axis(ordered, np.minimum(n // 2, values.shape[axis] - 1), axis)
    return np.asarray(np.where(n > 0, (low + high) / 2, np.nan).squeeze(axis))


def mean_and_error(per_split: Floats) -> tuple[Floats, Floats]:
    """Mean over the splits (first axis) where defined, and its standard error: standard deviation over sqrt(splits).

    The standard deviation divides by the number of splits, as Brain-Score's does. Splits share stimuli, so that this
    tells the spread over splits and is no confidence interval.
    """
    mean = mean_of_defined(per_split)
    return mean, np.sqrt(mean_of_defined((per_split - mean) ** 2) / len(per_split))


def mean_of_defined(values: Floats, axis: int = 0) -> Floats:
    """The mean of what is there; NaN, silently, where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Floats = np.asarray(np.nanmean(values, axis=axis))
    return result
