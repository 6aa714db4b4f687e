"""People in time: a model's accuracy over its steps against people's accuracy over forced response times.

A step of a model is not a time of a person: what lies between is fitted, `time_ms = offset_ms + scale * step_ms`, and
reported with its error (our choice: the papers compare no model with people's speed). Whether the answers were right
is an array of 0, 1 and NaN (no answer): of people `[presentation]`, one trial each; of a model
`[presentation, time_bin]`, where `time_bin_start` is the model's own time in ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from ventralstream.arguments import draws, whole
from ventralstream.arrays import as_floats
from ventralstream.assembly import groups_of, in_order, numbers_of
from ventralstream.brain.correlation import mean_of_defined, pearson
from ventralstream.errors import VentralError, unknown

Floats = NDArray[np.float64]
Form = Literal["absolute", "relative"]


@dataclass(frozen=True)
class TimeMapping:
    """How a model's time corresponds to people's: `time_ms = offset_ms + scale * step_ms`.

    Attributes:
        offset_ms: People's time at the model's time 0.
        scale: People's milliseconds for one of the model's; positive.
        residual: Root of the mean squared difference of accuracies, weighted by people's trials.
        r: Pearson's r of the accuracies.
        offset_interval_ms: 95 % of the bootstrap.
        scale_interval: 95 % of the bootstrap.
        people: The accuracies that were fitted, [level, time_ms].
        model: The model's at the same moments, [level, time_ms].
        form: "absolute" or "relative" accuracies.
        n: What was counted.
        seed: Of the bootstrap.
        reason: Why the parameters are NaN; empty if they are not.
    """

    offset_ms: float
    scale: float
    residual: float
    r: float
    offset_interval_ms: tuple[float, float]
    scale_interval: tuple[float, float]
    people: xr.DataArray
    model: xr.DataArray
    form: Form
    n: Mapping[str, int]
    seed: int
    reason: str = ""

    def time_ms(self, step_ms: ArrayLike) -> Floats:
        """People's time for the model's time, both in ms."""
        return self.offset_ms + self.scale * np.asarray(step_ms, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data; NaN is None."""

        def plain(x: float) -> float | None:
            return float(x) if np.isfinite(x) else None

        result: dict[str, Any] = {k: plain(getattr(self, k)) for k in ("offset_ms", "scale", "residual", "r")}
        for k in ("offset_interval_ms", "scale_interval"):
            result[k] = [plain(x) for x in getattr(self, k)]
        for k in ("people", "model"):
            accuracies: xr.DataArray = getattr(self, k)
            result[k] = [[plain(x) for x in row] for row in accuracies.values]
        result |= {k: self.people[k].values.tolist() for k in ("level", "time_ms")}
        return result | {"form": self.form, "n": dict(self.n), "seed": self.seed, "reason": self.reason}


def fit_time_mapping(
    model: xr.DataArray,
    people: xr.DataArray,
    *,
    time: str = "time_ms",
    level: str | None = None,
    subject: str | None = None,
    form: Form = "absolute",
    chance: float = 0.0,
    resamples: int = 200,
    seed: int = 0,
) -> TimeMapping:
    """Fits the offset and the scale that bring a model's accuracy over its steps closest to people's over time.

    Weighted least squares over all levels and times, over a grid and then by Nelder-Mead; before its first and after
    its last step the model's accuracy stays what it is there.

    Args:
        model: Right or wrong, [presentation, time_bin], of `correct_over_time` or `early_exits`.
        people: Right, wrong or NaN, [presentation], with the coordinate `time`.
        time: The coordinate of people's response times, in ms.
        level: A coordinate of both, e.g. of difficulty: the levels' accuracies are fitted together. None: all as one.
        subject: The coordinate of who answered; the bootstrap resamples subjects then, else trials.
        form: "absolute" accuracies, or "relative": each side's, less chance, over its own best (over times, of the
            mean over levels), where a model and people differ in how good they ever get.
        chance: The accuracy of guessing, for "relative".
        resamples: How many resamplings of subjects (or trials) and of the model's images the intervals rest on.
        seed: Of the resampling.

    Returns:
        The mapping; NaN with the reason where accuracies do not determine it: the model's (or people's) do not
        change, or fewer than two of people's times fall among its steps.
    """
    resamples, seed = draws("resamples", resamples, 0), whole("seed", seed, 0)
    if form not in ("absolute", "relative"):
        raise unknown("form", form, ["absolute", "relative"])
    what = "a mapping of times (whether answers were right,"
    model = in_order(model, "presentation", "time_bin", what=f"{what} the model's)")
    people = in_order(people, "presentation", what=f"{what} people's)")
    step_ms = numbers_of(model, "time_bin_start")
    if len(step_ms) > 1 and (np.diff(step_ms) <= 0).any():
        raise VentralError("a model's times must rise")
    times, at = np.unique(numbers_of(people, time), return_inverse=True)
    if len(times) < 2:
        raise VentralError(f"a mapping of times needs people at 2 times or more; got {len(times)}")
    levels, people_level, model_level = _levels(people, model, level)

    right = as_floats(people.values, "answers").astype(np.float64)
    answered = np.isfinite(right)
    who = groups_of(people, subject)[1] if subject else np.arange(len(right))
    trials = _tally(right[answered], who[answered], people_level[answered], at[answered], (len(levels), len(times)))
    shape = (len(levels), len(step_ms))
    image, step = (index.ravel() for index in np.indices(model.shape))
    images = _tally(model.values.ravel().astype(np.float64), image, model_level[image], step, shape)
    n = {
        "trials": int(answered.sum()),
        "trials_unanswered": int((~answered).sum()),
        "images": len(images.rights),
        "levels": len(levels),
        "times": len(times),
        "resamples": resamples,
    }
    if subject:
        n["subjects"] = len(trials.rights)

    human, machine = (_scaled(tally.accuracy(), form, chance) for tally in (trials, images))
    compared = xr.DataArray(human, dims=("level", "time_ms"), coords={"level": levels, "time_ms": times})
    reason = _undetermined(machine, human)
    if not reason:
        offset, scale = _fit(step_ms, machine, times, human, trials.counts.sum(0))
        inside = ((times >= offset + scale * step_ms[0]) & (times <= offset + scale * step_ms[-1])).sum()
        if inside < 2:
            reason = f"in the best fit only {inside} of people's times fall among the model's steps"
    if reason:
        none = (float("nan"), float("nan"))
        empty = compared.copy(data=np.full(human.shape, np.nan))
        return TimeMapping(*none, *none, none, none, compared, empty, form, n, seed, reason)

    random = np.random.default_rng(seed)
    fits = []
    for _ in range(resamples):
        some_trials, some_images = trials.resampled(random), images.resampled(random)
        of_people, of_model = (_scaled(tally.accuracy(), form, chance) for tally in (some_trials, some_images))
        if not _undetermined(of_model, of_people):
            fits.append(_fit(step_ms, of_model, times, of_people, some_trials.counts.sum(0)))
    n["resamples_undetermined"] = resamples - len(fits)
    low, high = np.percentile(np.array(fits), [2.5, 97.5], axis=0) if fits else np.full((2, 2), np.nan)
    predicted = _predict(np.array([offset]), np.array([scale]), step_ms, machine, times)[:, 0]
    ok = np.isfinite(human) & np.isfinite(predicted)
    squares = (human - predicted)[ok] ** 2
    return TimeMapping(
        offset_ms=offset,
        scale=scale,
        residual=float(np.sqrt(np.average(squares, weights=trials.counts.sum(0)[ok]))),
        r=float(pearson(predicted.ravel(), human.ravel())),
        offset_interval_ms=(float(low[0]), float(high[0])),
        scale_interval=(float(low[1]), float(high[1])),
        people=compared,
        model=compared.copy(data=predicted),
        form=form,
        n=n,
        seed=seed,
    )


@dataclass(frozen=True)
class _Tally:
    """What each unit (a subject, a trial, an image) got right, and of how many: [unit, level, time]."""

    rights: Floats
    counts: Floats

    def accuracy(self) -> Floats:
        """[level, time]; NaN where there is nothing."""
        with np.errstate(invalid="ignore"):
            accuracy: Floats = self.rights.sum(0) / self.counts.sum(0)
        return accuracy

    def resampled(self, random: np.random.Generator) -> _Tally:
        """As many units, drawn with replacement."""
        units = random.integers(0, len(self.rights), len(self.rights))
        return _Tally(self.rights[units], self.counts[units])


def _tally(
    right: Floats, unit: NDArray[Any], level: NDArray[np.intp], time: NDArray[np.intp], shape: tuple[int, int]
) -> _Tally:
    names, row = np.unique(unit, return_inverse=True)
    rights, counts = np.zeros((2, len(names), *shape))
    np.add.at(rights, (row, level, time), right)
    np.add.at(counts, (row, level, time), 1)
    return _Tally(rights, counts)


def _scaled(accuracy: Floats, form: Form, chance: float) -> Floats:
    """The accuracies as `form` asks for."""
    if form == "absolute":
        return accuracy
    best = float(np.nanmax(mean_of_defined(accuracy)))
    return (accuracy - chance) / (best - chance) if best > chance else np.full_like(accuracy, np.nan)


def _predict(offset: Floats, scale: Floats, step_ms: Floats, model: Floats, times: Floats) -> Floats:
    """The model's accuracy at people's times, for each of some mappings: [level, mapping, time]."""
    at = (times - offset[:, None]) / scale[:, None]
    return np.stack([np.interp(at, step_ms, accuracy) for accuracy in model])


def _fit(step_ms: Floats, model: Floats, times: Floats, people: Floats, trials: Floats) -> tuple[float, float]:
    """The best offset and scale; the loss has plateaus and more than one valley, hence the grid."""
    span, width = step_ms[-1] - step_ms[0], times[-1] - times[0]
    weights = np.where(np.isfinite(people), trials, 0) / trials.sum()
    target = np.nan_to_num(people)

    def loss(first: Floats, scale: Floats) -> Floats:
        """For the time of the model's first step, which a grid covers better than the offset."""
        error = np.nan_to_num(_predict(first - scale * step_ms[0], scale, step_ms, model, times)) - target[:, None]
        result: Floats = (weights[:, None] * error**2).sum((0, 2))
        return result

    scales = width / span * np.geomspace(1 / 16, 16, 49)
    fraction, scale = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 1, 42)[:-1], scales, indexing="ij"))
    first = times[0] - scale * span + fraction * (width + scale * span)
    order = np.argsort(loss(first, scale), kind="stable")

    def of_parameters(p: Floats) -> float:
        return float(loss(p[:1], np.exp(p[1:]))[0])

    best = min(
        (
            minimize(
                of_parameters,
                (first[i], np.log(scale[i])),
                method="Nelder-Mead",
                options={
                    "initial_simplex": [
                        (first[i], np.log(scale[i])),
                        (first[i] + 0.05 * width, np.log(scale[i])),
                        (first[i], np.log(scale[i]) + 0.1),
                    ],
                    "xatol": 1e-3,
                    "fatol": 1e-12,
                },
            )
            for i in order[:3]
        ),
        key=lambda found: found.fun,
    )
    found_scale = float(np.exp(best.x[1]))
    return float(best.x[0] - found_scale * step_ms[0]), found_scale


def _undetermined(model: Floats, people: Floats) -> str:
    """Why accuracies determine no mapping; empty if they may."""
    for whose, accuracy in (("the model's", model), ("people's", people)):
        defined = accuracy[np.isfinite(accuracy).all(1)]
        if not len(defined) or not np.ptp(defined, axis=1).max() > 0:
            return f"{whose} accuracy does not change over time"
    return ""


def _levels(
    people: xr.DataArray, model: xr.DataArray, level: str | None
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
    """The levels, and which one each trial and each image is of."""
    if level is None:
        of_people, of_model = (np.zeros(a.sizes["presentation"], dtype=np.intp) for a in (people, model))
        return np.array(["all"]), of_people, of_model
    levels, people_index = groups_of(people, level)
    others, model_index = groups_of(model, level)
    if not np.array_equal(levels, others):
        raise VentralError(f"people's and the model's '{level}' differ: {levels.tolist()} and {others.tolist()}")
    return levels, people_index.astype(np.intp), model_index.astype(np.intp)
