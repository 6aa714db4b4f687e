"""Accuracy as a function of something, with its intervals; of models and of people alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from ventralstream.arguments import draws, whole
from ventralstream.arrays import as_column, as_floats, distinct
from ventralstream.errors import VentralError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy against something (a time, an asynchrony, a difficulty), with 95 % intervals.

    Attributes:
        x: [point], rising.
        accuracy: [point].
        low: The intervals' lower ends, [point].
        high: Their upper ends, [point].
        n: How many answers each rests on, [point].
        x_name: What x is, with its unit.
        interval: How the intervals were made.
    """

    x: Floats
    accuracy: Floats
    low: Floats
    high: Floats
    n: NDArray[np.int64]
    x_name: str
    interval: str

    def to_json(self) -> dict[str, Any]:
        """The curve as plain lists."""
        arrays = {name: getattr(self, name).tolist() for name in ("x", "accuracy", "low", "high", "n")}
        return {**arrays, "x_name": self.x_name, "interval": self.interval}


def accuracy_curve(
    correct: ArrayLike,
    x: ArrayLike,
    *,
    x_name: str,
    subject: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> AccuracyCurve:
    """Accuracy at each value of `x`, with 95 % intervals.

    Args:
        correct: 0, 1 or NaN (no answer: left out, and not in `n`) of each trial, [trial].
        x: What accuracy is a function of, [trial].
        x_name: What that is, with its unit.
        subject: Who answered, [trial]. With it the intervals are percentiles of a bootstrap over subjects, since a
            subject's trials are not independent; without it they are Wilson's, of independent trials.
        resamples: How many resamplings.
        seed: Of the resampling.
    """
    c, at = _answers(correct), as_floats(x, x_name).astype(np.float64)
    if c.shape != at.shape or c.ndim != 1:
        raise VentralError(f"accuracy takes one answer and one {x_name} a trial; got {c.shape} and {at.shape}")
    if unknown_ := int(np.isnan(at).sum()):
        raise VentralError(f"{unknown_} of {len(at)} trials have no {x_name} (NaN); leave them out")
    if np.isinf(at).any():
        raise VentralError(f"{int(np.isinf(at).sum())} of {len(at)} trials have an infinite {x_name}; expected numbers")
    answered = np.isfinite(c)
    if not answered.any():
        raise VentralError("accuracy needs at least one answered trial; got none")
    points, index = np.unique(at[answered], return_inverse=True)
    right = np.bincount(index, c[answered], len(points))
    n = np.bincount(index, minlength=len(points))
    accuracy = right / n
    if subject is None:
        bounds = [wilson_interval(int(k), int(of)) for k, of in zip(right, n, strict=True)]
        low, high = np.array(bounds).T
        return AccuracyCurve(points, accuracy, low, high, n, x_name, "Wilson, 95 %")
    subjects = as_column(subject)
    if len(subjects) != len(c):
        raise VentralError(f"accuracy takes one subject a trial; got {len(subjects)} for {len(c)}")
    who, row = distinct(subjects[answered], "trials have no subject")
    rights, ns = np.zeros((2, len(who), len(points)))
    np.add.at(rights, (row, index), c[answered])
    np.add.at(ns, (row, index), 1)
    resamples = draws("resamples", resamples, 1)
    weights = np.random.default_rng(seed).multinomial(len(who), np.full(len(who), 1 / len(who)), size=resamples)
    with np.errstate(invalid="ignore"):
        resampled = (weights @ rights) / (weights @ ns)
    low, high = np.nanpercentile(resampled, [2.5, 97.5], axis=0)
    how = f"95 % of {resamples} resamplings of {len(who)} subjects (seed {seed})"
    return AccuracyCurve(points, accuracy, low, high, n, x_name, how)


def wilson_interval(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, of independent answers (Wilson 1927, as SciPy has it)."""
    low, high = binomtest(right, of).proportion_ci(0.95, "wilson")
    return float(low), float(high)


def _answers(correct: ArrayLike) -> Floats:
    """Answers as 1, 0, or NaN where there is none."""
    answers = as_floats(correct, "answers").astype(np.float64)
    if not (np.isin(answers, (0, 1)) | np.isnan(answers)).all():
        raise VentralError("answers are 1 (right), 0 (wrong) or NaN (none); got other numbers")
    return answers


def accuracy_by_difficulty(
    correct: ArrayLike,
    difficulty: ArrayLike,
    *,
    bins: int | Sequence[float] = 5,
    subject: ArrayLike | None = None,
    seed: int = 0,
) -> AccuracyCurve:
    """Accuracy by bins of difficulty; x is the mean difficulty of a bin.

    Args:
        correct: 0, 1 or NaN of each trial.
        difficulty: A number for each trial, e.g. 1 - people's accuracy on that image, or a level of noise.
        bins: How many bins of equal counts (by quantiles; equal values stay together, so there can be fewer), or the
            edges, rising; what is outside them is left out.
        subject: As for `accuracy_curve`.
        seed: As there.
    """
    c, d = _answers(correct), as_floats(difficulty, "difficulty").astype(np.float64)
    if c.shape != d.shape or c.ndim != 1 or not c.size:
        raise VentralError(f"accuracy by difficulty takes one difficulty an answer; got {d.shape} for {c.shape}")
    if unknown_ := int(np.isnan(d).sum()):
        raise VentralError(f"{unknown_} of {len(d)} trials have no difficulty (NaN); leave them out")
    if not np.isfinite(d).all():
        raise VentralError(f"{int((~np.isfinite(d)).sum())} of {len(d)} difficulties are infinite; expected numbers")
    if np.ndim(bins) == 0:
        bins = whole("bins", bins, 1)
        if bins > max(len(d), 100):
            raise VentralError(f"{bins} bins are more than the {len(d)} answers; expected fewer")
        edges = np.unique(np.quantile(d, np.linspace(0, 1, bins + 1)))
    else:
        edges = as_floats(bins, "edges of bins").astype(np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise VentralError(f"difficulty needs at least 2 rising edges of bins; got {edges.tolist()}")
    inside = (d >= edges[0]) & (d <= edges[-1])
    which = np.clip(np.searchsorted(edges, d, side="right") - 1, 0, len(edges) - 2)
    centre = np.full(len(edges) - 1, np.nan)
    for b in np.unique(which[inside]):
        centre[b] = d[inside & (which == b)].mean()
    who = None if subject is None else as_column(subject)[inside]
    return accuracy_curve(c[inside], centre[which[inside]], x_name="difficulty", subject=who, seed=seed)
