"""Predictivity in time and across areas: generalisation over time, lags, area assignment, time courses of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from xarray import DataArray, Dataset

from ventralstream.assembly import check, names_of, time_bins_of
from ventralstream.brain.correlation import mean_and_error, mean_of_defined, median, pearson
from ventralstream.brain.mapping.design import Design
from ventralstream.brain.mapping.linear import Mapping as LinearMapping
from ventralstream.brain.mapping.linear import as_targets, fit_split
from ventralstream.brain.mapping.pairing import pair
from ventralstream.brain.mapping.predictivity import mapping_named, predictivity, unscored
from ventralstream.brain.recordings.reliability import Trials, consistency_over_halvings
from ventralstream.brain.score import Score
from ventralstream.brain.splits import Scheme, TrainTest, halves
from ventralstream.errors import VentralError


def time_courses(models: Mapping[str, DataArray], recordings: DataArray, **options: Any) -> Dataset:
    """Scores several models, or a model and its controls, on the same recordings and splits, time bin by time bin.

    This is the figure of Nayebi et al. 2018 (docs/papers.md A.8): a ConvRNN against feedforward and time-decay
    controls, under the recordings' ceiling.

    Args:
        models: Features by the model's name, each as `predictivity` takes them.
        recordings: Recordings with time bins.
        options: What else `predictivity` takes, the same for all models. `over_time="shared"` is their test.

    Returns:
        Variables `value`, `raw`, `error` [model, time_bin], `lower`, `upper` (95 % interval; none without `resamples`)
        and `ceiling` [time_bin]; attributes `formula`, `seed`, the counts, and `reason: MODEL` where values are NaN.
    """
    if not models:
        raise VentralError("no model to score; expected features by the model's name")
    recordings = check(recordings)
    time_bins_of(recordings)  # refuses recordings that are not resolved in time
    scores = {name: predictivity(features, recordings, **options) for name, features in models.items()}
    first = next(iter(scores.values()))
    columns = {name: [getattr(s, name) for s in scores.values()] for name in ("value", "raw", "error")}
    if first.interval is not None:
        intervals = [DataArray(s.interval) for s in scores.values()]
        columns |= {"lower": [i[0] for i in intervals], "upper": [i[1] for i in intervals]}
    taken = {"model", "bound", "ceiling", *columns}  # a coordinate of the recordings may have any name
    columns = {
        k: [p.drop_vars([n for n in p.coords if n in taken]) for p in map(DataArray, v)] for k, v in columns.items()
    }
    variables = {name: xr.concat(parts, "model", coords="minimal") for name, parts in columns.items()}
    ceiling = DataArray(first.ceiling)
    return Dataset(
        variables | {"ceiling": ceiling.drop_vars([n for n in ceiling.coords if n in taken])},
        coords={"model": list(scores)},
        attrs={"formula": first.formula, "seed": first.seed, **first.n}
        | {f"reason: {name}": s.reason for name, s in scores.items() if s.reason},
    )


def generalisation_over_time(
    features: DataArray,
    recordings: DataArray,
    mapping: str | LinearMapping = "pls",
    *,
    splits: int | Sequence[TrainTest] = 10,
    scheme: Scheme = "shuffle",
    train_size: float = 0.9,
    stratify: str | None = None,
    seed: int = 1,
    halvings: int = 10,
    device: str | torch.device | None = None,
) -> Dataset:
    """Trains a map at each time bin and tests it at each other one.

    The map of the training bin takes the model's features at the test bin to predictions of the responses at the test
    bin, on held-out stimuli: if one read-out serves at all times, rows are alike. Features without time bins stay the
    same. The diagonal is `predictivity`'s raw score.

    Args:
        features: As in `predictivity`.
        recordings: Recordings with time bins.
        mapping: As in `predictivity`, and so are `splits`, `scheme`, `train_size`, `stratify`, `seed`, `halvings`
            and `device`.

    Returns:
        Variables `value` (median r over neuroids, mean over splits) and `error` (s.e.m. over splits), both
        [train_bin, test_bin], and `ceiling` [test_bin], the internal consistency at the test bin (NaN with one
        repetition only); coordinates `train_bin_start`, `train_bin_end`, `test_bin_start`, `test_bin_end` in ms.
    """
    recordings = check(recordings)
    time_bins_of(recordings)
    fit, data = mapping_named(mapping), pair(features, recordings)
    chosen = data.splits(splits, scheme, train_size, stratify, seed)
    y = np.asarray(data.mean.values, dtype=np.float64)
    at = [data.features if data.features.ndim == 2 else data.features[..., t] for t in range(data.bins)]
    r = np.empty((len(chosen), data.bins, data.bins))
    for trained in range(data.bins):
        design = Design(at[trained], device)
        targets = as_targets(y[:, None, :, trained], design)
        for i, (train, test) in enumerate(chosen):
            (map_,) = fit_split(fit, design, targets, train)
            for tested in range(data.bins):
                predicted = map_.predict(at[tested][test])
                r[i, trained, tested] = median(pearson(predicted, y[test][..., tested], constant=0.0), 0)
    value, error = mean_and_error(r)
    reliability = consistency_over_halvings(Trials.of(data.recordings), halvings, seed)
    dims = ("train_bin", "test_bin")
    bins = np.array(time_bins_of(data.mean))
    coords = {f"{d}_{side}": (d, bins[:, k]) for d in dims for k, side in enumerate(("start", "end"))}
    ceiling = mean_and_error(median(reliability, 1))[0]
    variables = {"value": (dims, value), "error": (dims, error), "ceiling": ("test_bin", ceiling)}
    return Dataset(variables, coords, attrs={"formula": "raw", "seed": seed, "splits": len(chosen), **data.counts()})


def delayed(features: DataArray, lag_ms: float) -> DataArray:
    """Features whose time bins are `lag_ms` later: the hypothesis that neurons follow the model by so much."""
    features = check(features)
    if "time_bin" not in features.dims:
        raise VentralError("features that are the same at all times cannot be delayed; expected time bins")
    shifted = {name: ("time_bin", features[name].values + lag_ms) for name in ("time_bin_start", "time_bin_end")}
    return features.assign_coords(shifted)


def lags(features: DataArray, recordings: DataArray, lags_ms: Sequence[float], **options: Any) -> Dataset:
    """Scores features at several lags, on the time bins that all of the lags have, so that the scores compare.

    Args:
        features: Features with time bins.
        recordings: Recordings with time bins.
        lags_ms: The lags to try; a lag of 20 ms predicts neurons at 50 ms from the model at 30 ms.
        options: What else `predictivity` takes.

    Returns:
        Variables `value`, `raw` and `error`, the means over time bins, [lag_ms]; attributes `best_lag_ms` (of the
        largest raw score), `formula`, `seed` and counts.

    Raises:
        VentralError: if no recorded time bin has features at every lag.
    """
    recorded = np.round(time_bins_of(recordings), 6)
    later = [delayed(features, lag) for lag in lags_ms]
    there = [{tuple(b) for b in np.round(time_bins_of(f), 6).tolist()} for f in later]
    common = [i for i, b in enumerate(recorded.tolist()) if all(tuple(b) in bins for bins in there)]
    if not later or not common:
        raise VentralError(f"no recorded time bin has features at all of the lags {list(lags_ms)} ms")
    kept = recordings.isel(time_bin=common)
    scores = [predictivity(f, kept, **options) for f in later]
    means = {name: [float(np.nanmean(getattr(s, name))) for s in scores] for name in ("value", "raw", "error")}
    best = float(lags_ms[int(np.nanargmax(means["raw"]))])
    return Dataset(
        {name: ("lag_ms", values) for name, values in means.items()},
        coords={"lag_ms": np.asarray(lags_ms, dtype=float)},
        attrs={"best_lag_ms": best, "formula": scores[0].formula, "seed": scores[0].seed, **scores[0].n},
    )


@dataclass(frozen=True)
class AreaAssignment:
    """Which model area explains a recorded region best, chosen on one half of its neuroids and scored on the other.

    Attributes:
        area: The chosen model area.
        score: Its score on the neuroids that had no part in the choice.
        candidates: The score of each model area on the neuroids that made the choice; NaN with the reason for one that
            cannot be scored, e.g. with fewer features than PLS has components.
        chosen_by: Those neuroids' ids.
    """

    area: str
    score: Score
    candidates: dict[str, Score]
    chosen_by: tuple[str, ...]


def assign_areas(
    features: Mapping[str, DataArray], recordings: DataArray, *, seed: int = 1, **options: Any
) -> dict[str, AreaAssignment]:
    """Assigns a model area to each recorded region: the area with the best raw score, averaged over time bins.

    Args:
        features: Features by model area, each as `predictivity` takes them.
        recordings: Recordings; a `region` coordinate parts the neuroids, without one they are all of region "all".
        seed: Of the random halves of the neuroids, and of `predictivity`.
        options: What else `predictivity` takes.

    Returns:
        An assignment for each region, in the order in which the regions first come.

    Raises:
        VentralError: for no area, or a region of fewer than two neuroids.
    """
    if not features:
        raise VentralError("no model area to choose from; expected features by area")
    recordings = check(recordings)
    everywhere = np.full(recordings.sizes["neuroid"], "all")
    region_of = names_of(recordings, "region") if "region" in recordings.coords else everywhere
    found = {}
    for region in dict.fromkeys(region_of.tolist()):
        members = np.flatnonzero(region_of == region)
        if len(members) < 2:
            raise VentralError(f"region '{region}' has one neuroid; choosing on one half needs at least 2")
        ((first, second),) = halves(len(members), 1, seed)
        choosing, scored = (recordings.isel(neuroid=members[np.sort(half)]) for half in (first, second))
        candidates: dict[str, Score] = {}
        errors: list[VentralError] = []
        for area, values in features.items():
            try:
                candidates[area] = predictivity(values, choosing, seed=seed, **options)
            except VentralError as error:
                errors.append(error)
                candidates[area] = unscored(error)
        if len(errors) == len(features):
            raise errors[0]
        means = {a: mean_of_defined(np.ravel(np.asarray(s.raw, dtype=float))) for a, s in candidates.items()}
        area = max(means, key=lambda a: -np.inf if np.isnan(means[a]) else float(means[a]))
        score = predictivity(features[area], scored, seed=seed, **options)
        ids = tuple(choosing["neuroid_id"].values.astype(str).tolist())
        found[str(region)] = AreaAssignment(area, score, candidates, ids)
    return found
