"""Neurons beside units, for the page: recorded responses, what a network predicts of them, and dissimilarities in time.

Arrays and times only: features and recordings are assemblies, as for `ventralstream.brain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.assembly import names_of, time_bins_of
from ventralstream.brain import align_time, compare, mean_repetitions, predictivity, rdm
from ventralstream.brain.mapping.design import Design
from ventralstream.brain.mapping.linear import as_targets, held_out
from ventralstream.brain.mapping.pairing import Paired, pair
from ventralstream.brain.mapping.predictivity import mapping_named
from ventralstream.brain.recordings.reliability import Trials, consistency_over_halvings
from ventralstream.errors import VentralError
from ventralstream.explore.block import numbers

MAPPING, FOLDS, HALVINGS, SEED = "ridge_cv", 5, 10, 1
MOST_NEURONS = 12  # that are shown one by one: the most reliable
MOST_STIMULI = 24  # of the dissimilarity matrices that are shown
Floats = NDArray[np.float64]


def beside(
    features: Mapping[str, DataArray],
    recordings: DataArray,
    shown: Sequence[str],
    name: str,
    on_area: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """What was recorded, and what each area of a network makes of it.

    Of each neuron and time bin, the response to an image is predicted by a ridge regression that was fitted to the
    responses to four fifths of the others (`FOLDS`). The ceiling is the root of the reliability of the mean response:
    the most that r can be.

    Args:
        features: By area, [presentation, neuroid, time_bin], one presentation a stimulus.
        recordings: [presentation, neuroid, time_bin], with repetitions.
        shown: The stimuli that are on the page, in its order.
        name: What the recordings are called.
        on_area: Called with the number of areas done.

    Raises:
        VentralError: the recordings have no time bins, or none in which the network runs.
    """
    if "time_bin" not in recordings.dims:
        raise VentralError(f"'{name}' is not resolved in time; the explorer shows responses over time")
    recordings = _in_reach(features, recordings, name)
    found: dict[str, Any] = {}
    data: Paired | None = None
    for i, (area, values) in enumerate(features.items(), 1):
        try:
            aligned = align_time(values, recordings)
            data = pair(aligned, recordings)
            found[area] = _predicted(aligned, recordings, data, shown)
        except VentralError as error:
            found[area] = {"reason": str(error)}
        on_area(i)
    if data is None or all("reason" in entry for entry in found.values()):
        raise VentralError(next(entry["reason"] for entry in found.values()))
    trials = Trials.of(data.recordings)
    reliability = np.nanmean(consistency_over_halvings(trials, HALVINGS, SEED), axis=0)  # [neuroid, bin]
    kept = _most_reliable(reliability)
    rows = _rows(data, shown)
    measured = np.asarray(data.mean.values, dtype=np.float64)[rows][:, kept]
    for entry in found.values():
        if "predicted" in entry:
            entry["predicted"] = numbers(np.asarray(entry["predicted"])[:, kept])
    with np.errstate(invalid="ignore"):
        ceiling = np.sqrt(np.nanmedian(np.where(reliability > 0, reliability, np.nan), axis=0))
        each = np.sqrt(np.nanmean(np.where(reliability > 0, reliability, np.nan), axis=1))[kept]
    similar = _some(data)
    return {
        "name": name,
        "counts": {"neurons": data.neuroids, "stimuli": data.stimuli, "repetitions": trials.repetitions},
        "bins": [list(b) for b in time_bins_of(data.mean)],
        "neurons": names_of(data.mean.isel(neuroid=kept), "neuroid_id").tolist() if _named(data) else kept.tolist(),
        "neuron_ceilings": numbers(each),
        "measured": numbers(measured),
        "ceiling": numbers(ceiling),
        "areas": found,
        "rdm": [_percentiles(data.mean.isel(time_bin=t, presentation=similar)) for t in range(data.bins)],
        "rdm_side": len(similar),
    }


def _in_reach(features: Mapping[str, DataArray], recordings: DataArray, name: str) -> DataArray:
    """The time bins of the recordings in which some area has a step."""
    steps = np.concatenate([np.array(time_bins_of(f)) for f in features.values()])
    bins = np.array(time_bins_of(recordings))
    inside = [i for i, (a, b) in enumerate(bins) if ((steps[:, 0] >= a - 1e-6) & (steps[:, 1] <= b + 1e-6)).any()]
    if not inside:
        raise VentralError(
            f"no time bin of '{name}' ({bins.min():g} to {bins.max():g} ms) holds a step of the network"
            f" ({steps.min():g} to {steps.max():g} ms)"
        )
    return recordings.isel(time_bin=inside)


def _predicted(aligned: DataArray, recordings: DataArray, data: Paired, shown: Sequence[str]) -> dict[str, Any]:
    """One area: its predictions of the shown stimuli, r over time, and its dissimilarities."""
    score = predictivity(
        aligned, recordings, MAPPING, correction="raw", splits=FOLDS, scheme="k_fold", seed=SEED, resamples=0
    )
    splits = data.splits(FOLDS, "k_fold", 0.9, None, SEED)
    mean = np.asarray(data.mean.values, dtype=np.float64)
    predicted = np.empty_like(mean)
    for t in range(data.bins):
        design = Design(data.features[..., t])
        targets = as_targets(mean[..., t][:, None], design)
        for (_, test), made in zip(splits, held_out(mapping_named(MAPPING), design, targets, splits), strict=True):
            predicted[test, :, t] = made[:, 0].cpu().numpy()
    own = aligned.assign_coords(stimulus_id=aligned["stimulus_id"])
    order = {s: i for i, s in enumerate(names_of(own, "stimulus_id").tolist())}
    rows = [order[s] for s in names_of(data.mean, "stimulus_id").tolist()]
    mine = own.isel(presentation=rows)
    similar = _some(data)
    alike = []
    for t in range(data.bins):
        one, other = rdm(mine.isel(time_bin=t)), rdm(mean_repetitions(data.recordings).isel(time_bin=t))
        alike.append(compare(one, other))
    return {
        "predicted": predicted[_rows(data, shown)],
        "r": numbers(np.asarray(score.raw)),
        "rdm": [_percentiles(mine.isel(time_bin=t, presentation=similar)) for t in range(data.bins)],
        "alike": numbers(np.array(alike)),
    }


def _rows(data: Paired, shown: Sequence[str]) -> list[int]:
    order = {s: i for i, s in enumerate(names_of(data.mean, "stimulus_id").tolist())}
    return [order[s] for s in shown]


def _named(data: Paired) -> bool:
    return "neuroid_id" in data.mean.coords


def _most_reliable(reliability: Floats) -> NDArray[np.intp]:
    over_time = np.nan_to_num(reliability, nan=-1.0).mean(1)
    return np.argsort(-over_time, kind="stable")[:MOST_NEURONS]


def _some(data: Paired) -> list[int]:
    """Stimuli spread evenly over all, as many as a small picture of their dissimilarities takes."""
    count = min(MOST_STIMULI, data.stimuli)
    return [int(i) for i in np.linspace(0, data.stimuli - 1, count).round()]


def _percentiles(responses: DataArray) -> list[int]:
    """The ranks of the dissimilarities among all pairs, 0 to 100, row after row; -1 where undefined."""
    from scipy.stats import rankdata

    square = rdm(responses).select(names_of(responses, "stimulus_id").tolist()).square()
    first, second = np.triu_indices(len(square), k=1)
    values = square[first, second]
    result = np.full(square.shape, -1)
    known = np.isfinite(values)
    if known.any():
        ranks = np.rint((rankdata(values[known]) - 1) / max(int(known.sum()) - 1, 1) * 100).astype(int)
        result[first[known], second[known]] = result[second[known], first[known]] = ranks
    return [int(v) for v in result.ravel()]
