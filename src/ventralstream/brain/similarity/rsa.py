"""Representational similarity: of two representations of the same stimuli, also moment by moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ventralstream.arguments import draws, whole
from ventralstream.assembly import DIMS, in_order, numbers_of
from ventralstream.brain.score import Score
from ventralstream.brain.similarity.rdm import Comparison, Measure, Rdm, compare, rdm, same_stimuli, similarity
from ventralstream.errors import VentralError


def rsa(
    responses: xr.DataArray | Rdm,
    recordings: xr.DataArray | Rdm,
    *,
    measure: Measure = "correlation",
    comparison: Comparison = "spearman",
    resamples: int = 0,
    seed: int = 0,
) -> Score:
    """The similarity of two representations of the same stimuli: that of their RDMs.

    Args:
        responses: [presentation, neuroid], e.g. of a model, or its RDM.
        recordings: The same of what it is compared with.
        measure: Of RDMs that are made here.
        comparison: As in `compare`.
        resamples: How many resamplings of the stimuli the 95 % interval is made from; pairs of a stimulus with
            itself are left out. 0: no interval.
        seed: Of the resampling.
    """
    resamples, seed = draws("resamples", resamples, 0), whole("seed", seed, 0)
    one, other = (x if isinstance(x, Rdm) else rdm(x, measure) for x in (responses, recordings))
    other = same_stimuli(one, other)
    value = compare(one, other, comparison)
    interval = None
    if resamples and np.isfinite(value):
        random = np.random.default_rng(seed)
        resampled = [_resampled(one, other, comparison, random) for _ in range(resamples)]
        interval = np.nanpercentile(resampled, [2.5, 97.5])
    undefined = int((~(np.isfinite(one.values) & np.isfinite(other.values))).sum())
    return Score(
        value=value,
        raw=value,
        formula=f"{comparison} of RDMs ({one.measure}, {other.measure})",
        n={"stimuli": len(one.stimulus_id), "pairs": len(one.values), "pairs_undefined": undefined},
        seed=seed if resamples else None,
        interval=interval,
        reason="" if np.isfinite(value) else "an RDM is undefined or the same for all pairs of stimuli",
    )


def rsa_over_time(
    responses: xr.DataArray,
    recordings: xr.DataArray | Rdm,
    *,
    measure: Measure = "correlation",
    comparison: Comparison = "spearman",
    resamples: int = 0,
    seed: int = 0,
) -> Score:
    """The similarity at each moment of a representation with a fixed one, e.g. of a model's steps with monkey IT.

    Args:
        responses: [presentation, neuroid, time_bin].
        recordings: [presentation, neuroid], an RDM, or [presentation, neuroid, time_bin] with the same time bins, to
            be compared bin by bin.
        measure: As in `rsa`.
        comparison: As there.
        resamples: As there.
        seed: As there; the same stimuli are drawn in every bin.

    Returns:
        value, raw and interval are over `time_bin`. Bins before the stimulus arrives, in which all stimuli are alike,
        are NaN and counted.
    """
    responses = in_order(responses, *DIMS, what="RSA over time")
    bins = responses.sizes["time_bin"]
    options: dict[str, Any] = {"comparison": comparison, "resamples": resamples, "seed": seed}
    fixed: list[Rdm]
    if isinstance(recordings, xr.DataArray) and "time_bin" in recordings.dims:
        row = {start: i for i, start in enumerate(_starts(recordings))}
        absent = [start for start in _starts(responses) if start not in row]
        if absent:
            raise VentralError(
                f"the recordings have no time bin that starts at {absent[0]:g} ms ({len(absent)} of {bins} are absent);"
                " align them first"
            )
        fixed = [rdm(recordings.isel(time_bin=row[start]), measure) for start in _starts(responses)]
    else:
        fixed = [recordings if isinstance(recordings, Rdm) else rdm(recordings, measure)] * bins
    scores = [rsa(rdm(responses.isel(time_bin=b), measure), fixed[b], **options) for b in range(bins)]
    coords = {str(n): ("time_bin", c.values) for n, c in responses.coords.items() if c.dims == ("time_bin",)}
    values = xr.DataArray([float(s) for s in scores], dims="time_bin", coords=coords)
    interval = None
    if resamples:
        bounds = np.array([[np.nan, np.nan] if s.interval is None else s.interval for s in scores]).T
        interval = xr.DataArray(bounds, dims=("bound", "time_bin"), coords=coords)
    undefined = sum(not np.isfinite(float(s)) for s in scores)
    why = next((s.reason for s in scores if s.reason), "")
    return Score(
        value=values,
        raw=values,
        formula=scores[0].formula,
        n={**scores[0].n, "time_bins": bins, "time_bins_undefined": undefined},
        seed=scores[0].seed,
        interval=interval,
        reason=f"{undefined} of {bins} time bins: {why}" if undefined else "",
    )


def _resampled(one: Rdm, other: Rdm, comparison: Comparison, random: np.random.Generator) -> float:
    """The similarity over stimuli drawn with replacement, without the pairs of a stimulus and itself."""
    n = len(one.stimulus_id)
    rows = random.integers(0, n, n)
    first, second = np.triu_indices(n, k=1)
    a, b = rows[first], rows[second]
    a, b = a[a != b], b[a != b]
    return similarity(one.square()[a, b], other.square()[a, b], comparison)


def _starts(array: xr.DataArray) -> list[float]:
    """When the time bins start, to a millionth of a millisecond."""
    return [round(float(start), 6) for start in numbers_of(array, "time_bin_start")]
