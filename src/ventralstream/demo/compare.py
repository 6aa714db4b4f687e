"""Did it help? Accuracies, differences over the same scenes with confidence intervals, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from ventralstream.errors import VentralError

Verdict = Literal["helped", "did not help", "no clear difference"]
RESAMPLES = 10_000

RULE = (
    "Recurrence 'helped' if the recurrent network's last answers are more accurate than each control's last"
    " answers and "
    "every 95 % confidence interval of the difference lies above zero; it 'did not help' if one of the"
    " intervals lies "
    "below zero; otherwise there is 'no clear difference'. Accuracy is over all scenes of all levels of"
    " clutter; "
    "intervals come from a paired bootstrap over scenes."
)


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval; all fractions."""

    value: float
    low: float
    high: float


def accuracy(correct: int, count: int) -> Interval:
    """The share of correct answers with Wilson's interval."""
    if not 0 <= correct <= count or count < 1:
        raise VentralError(f"{correct} of {count} answers cannot be correct")
    low, high = binomtest(correct, count).proportion_ci(method="wilson")
    return Interval(correct / count, float(low), float(high))


def paired_difference(
    ours: NDArray[np.bool_], theirs: NDArray[np.bool_] | NDArray[np.float64], seed: int, resamples: int = RESAMPLES
) -> Interval:
    """How much more often `ours` is right than `theirs`, by a paired bootstrap over scenes.

    Args:
        ours, theirs: [N, L], whether the answer to scene n at level of clutter l was right (or, of `theirs`, how
            often of several answers). The levels of a scene are drawn together, because they show the same digit.
        seed: Of the resampling.
        resamples: How many.
    """
    if ours.shape != theirs.shape or ours.ndim != 2:
        raise VentralError(f"answers of shapes {ours.shape} and {theirs.shape} cannot be paired; expected [N, L] twice")
    return bootstrap_mean(ours.astype(float) - theirs, seed, resamples)


def bootstrap_mean(values: NDArray[np.float64], seed: int, resamples: int = RESAMPLES) -> Interval:
    """The mean of numbers [N, L] and the percentiles of its bootstrap over the N rows."""
    # A row's sum is one of few numbers, so a resample is a draw of how often each of them occurs.
    sums, counts = np.unique(values.sum(1), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), size=resamples)
    low, high = np.quantile(drawn @ sums / values.size, [0.025, 0.975])
    return Interval(float(counts @ sums / values.size), float(low), float(high))


def verdict(differences: Sequence[Interval]) -> Verdict:
    """The verdict on differences to the controls; see `RULE`."""
    if all(d.low > 0 for d in differences):
        return "helped"
    if any(d.high < 0 for d in differences):
        return "did not help"
    return "no clear difference"
