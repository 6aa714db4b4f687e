"""What a report shows of a study, as numbers: from Optuna's trials, drawn by `report_figures`."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from ventralstream.search.outcomes import outcome_of

Floats = NDArray[np.float64]
LEAST = 20  # complete trials, below which importances and shares of the best would be chance
BINS = 6  # of a parameter with many values
BEST = 0.1  # the part of the trials that are called the best


def complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that came to a value."""
    return [t for t in trials if t.state == TrialState.COMPLETE]


def values(trials: Sequence[FrozenTrial]) -> Floats:
    """Their validation accuracies, 0 to 1."""
    return np.array([t.value for t in trials], dtype=float)


def ordinary(accuracy: Floats) -> float:
    """The lowest accuracy that is not far below most: few trials that fail would squeeze all others of an axis.

    Far is three times the distance of the quartiles below the lower one (Tukey 1977), or 5 points if that is more (our
    choice).
    """
    low, high = np.quantile(accuracy, [0.25, 0.75])
    return float(accuracy[accuracy >= low - max(3 * (high - low), 0.05)].min())


def window(count: int) -> int:
    """Over how many samples the running median of so many goes: a twentieth, of 5 to 200 (our choice)."""
    return max(5, min(200, count // 20))


def running_median(accuracy: Floats, over: int) -> Floats:
    """At each sample the median of the last ones, so many of them; NaN before there are as many."""
    found = np.full(len(accuracy), np.nan)
    if len(accuracy) >= over:
        found[over - 1 :] = np.median(np.lib.stride_tricks.sliding_window_view(accuracy, over), axis=1)
    return found


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each parameter has to do with being among the best tenth (PED-ANOVA): parts of 1, the largest first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = PedAnovaImportanceEvaluator(target_quantile=BEST).evaluate(study)
    whole = sum(found.values())
    return {name: value / whole if whole else 0.0 for name, value in found.items()}


@dataclass(frozen=True)
class Level:
    """The trials with one value of a parameter, or one range of values.

    Attributes:
        name: The value, or the range.
        count: How many trials.
        low, median, high: The quartiles of their accuracies.
    """

    name: str
    count: int
    low: float
    median: float
    high: float


def effect(trials: Sequence[FrozenTrial], name: str) -> list[Level]:
    """The accuracy of complete trials by the value of one parameter; values that no trial has are left out."""
    there = [t for t in trials if name in t.params]
    if not there:
        return []
    sampled, distribution = [t.params[name] for t in there], there[0].distributions[name]
    groups = _groups(sampled, distribution)
    accuracy = values(there)
    levels = []
    for label, members in groups:
        if members.any():
            low, median, high = np.quantile(accuracy[members], [0.25, 0.5, 0.75])
            levels.append(Level(label, int(members.sum()), float(low), float(median), float(high)))
    return levels


def _groups(sampled: list[Any], distribution: BaseDistribution) -> list[tuple[str, NDArray[np.bool_]]]:
    if isinstance(distribution, CategoricalDistribution):
        return [(_said(c), np.array([v is c or v == c for v in sampled])) for c in distribution.choices]
    numbers = np.array(sampled, dtype=float)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution) and high - low < 2 * BINS:
        return [(str(v), numbers == v) for v in range(int(low), int(high) + 1)]
    edges = np.geomspace(low, high, BINS + 1) if distribution.log else np.linspace(low, high, BINS + 1)
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, BINS - 1)
    return [(f"{edges[i]:.2g}\N{EN DASH}{edges[i + 1]:.2g}", place == i) for i in range(BINS)]


def _said(choice: object) -> str:
    return {True: "yes", False: "no"}[choice] if isinstance(choice, bool) else str(choice)


@dataclass(frozen=True)
class Used:
    """How often a long-range feedback connection is there.

    Attributes:
        source, target: The areas it goes between.
        best, every: The part of the best trials, and of all complete ones, whose network has it.
        low, high: The 95 % interval of `best` (Wilson's), from how few these are.
    """

    source: str
    target: str
    best: float
    every: float
    low: float
    high: float


def feedback(trials: Sequence[FrozenTrial]) -> list[Used]:
    """The feedback connections that complete trials have, those that the best tenth has more often than all first."""
    sent = [_feedback_of(t) for t in trials]
    n = max(1, round(BEST * len(trials)))
    top = np.argsort(-values(trials), kind="stable")[:n]
    every, best = Counter(e for edges in sent for e in edges), Counter(e for i in top for e in sent[i])
    found = [Used(s, t, best[s, t] / n, k / len(trials), *wilson(best[s, t], n)) for (s, t), k in every.items()]
    return sorted(found, key=lambda u: (u.every - u.best, u.source, u.target))


def _feedback_of(trial: FrozenTrial) -> list[tuple[str, str]]:
    text = trial.user_attrs.get("spec")
    if text is None:
        return []
    return [(c["source"], c["target"]) for c in json.loads(text)["connections"] if c["kind"] == "feedback"]


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score."""
    z = 1.959964
    share, scale = successes / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def front(cost: Floats, accuracy: Floats) -> list[int]:
    """The trials that none beats in both: cheaper ones are less accurate. By their places, the cheapest first."""
    order = np.lexsort((-accuracy, cost))
    found: list[int] = []
    for i in order:
        if not found or accuracy[i] > accuracy[found[-1]]:
            found.append(int(i))
    return found


@dataclass(frozen=True)
class Spell:
    """A trial in a worker's time.

    Attributes:
        start, stop: Seconds since the study's first trial began.
        outcome: What came of it.
    """

    start: float
    stop: float
    outcome: str


def spells(trials: Sequence[FrozenTrial]) -> dict[str, list[Spell]]:
    """Each worker's trials over time, by its name, in the order in which they came. What runs ends with the last."""
    begun = [t for t in trials if t.datetime_start is not None]
    if not begun:
        return {}
    zero = min(t.datetime_start for t in begun if t.datetime_start is not None)
    last = max(t.datetime_complete or t.datetime_start or zero for t in begun)
    found: dict[str, list[Spell]] = {}
    for t in sorted(begun, key=lambda t: t.datetime_start or zero):
        assert t.datetime_start is not None
        start, stop = ((m - zero).total_seconds() for m in (t.datetime_start, t.datetime_complete or last))
        found.setdefault(str(t.user_attrs.get("worker", "unknown")), []).append(Spell(start, stop, outcome_of(t)))
    return found


def reasons(trials: Sequence[FrozenTrial]) -> list[tuple[str, str, int]]:
    """What went wrong: outcome, an example's reason, and how many trials; the most frequent first."""
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for t in trials:
        kind = outcome_of(t)
        if t.state.is_finished() and t.state != TrialState.COMPLETE:
            counts[kind] += 1
            example.setdefault(kind, str(t.user_attrs.get("reason", "")))
    return [(kind, example[kind], n) for kind, n in counts.most_common()]


def known_points(trials: Sequence[FrozenTrial]) -> Mapping[str, FrozenTrial]:
    """The complete trials that were enqueued as known cells, by the cell's name."""
    return {str(t.user_attrs["known"]): t for t in reversed(complete(trials)) if "known" in t.user_attrs}
