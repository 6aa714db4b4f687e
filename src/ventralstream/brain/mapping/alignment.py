"""Which step of a model belongs to which time bin of the recordings."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.assembly import check, span_of, time_bins_of, with_time_bins
from ventralstream.brain.recordings.presentations import bins_within
from ventralstream.errors import VentralError, unknown

Match: TypeAlias = Literal["within", "nearest"]
MATCHES: tuple[Match, ...] = ("within", "nearest")


def align_time(
    features: DataArray, recordings: DataArray, how: Match = "within", *, delay_ms: float = 0.0
) -> DataArray:
    """Brings features to the recordings' time bins.

    Args:
        features: Assembly [presentation, neuroid, time_bin] whose bins are the model's steps.
        recordings: Assembly with the time bins wanted; its presentations do not matter.
        how: "within": the steps that lie in the bin, averaged where they are several. "nearest": the one step whose
            start is nearest to the bin's (the earlier of two), as Brain-Score does for the CORnets, whose steps are
            longer than the bins (docs/papers.md B.6).
        delay_ms: How much later the neurons are than the model: a step at t is taken for one at t + delay_ms.

    Returns:
        The features, time bin for time bin those of the recordings; `n_steps` on time_bin says how many were averaged.

    Raises:
        VentralError: The model has no step for a time bin (naming it), or one of the two is not resolved in time.
    """
    if how not in MATCHES:
        raise unknown("way to match steps", how, MATCHES)
    features = check(features)
    own = np.array(time_bins_of(features)) + delay_ms
    wanted = time_bins_of(recordings)
    chosen = [_steps(own, start, end, how) for start, end in wanted]
    values = np.stack([features.values[..., i].mean(-1) for i in chosen], axis=-1)
    aligned = with_time_bins(features, values, wanted)
    if "n_steps" in aligned.coords:  # of the features themselves
        return aligned
    return aligned.assign_coords(n_steps=("time_bin", np.array([len(i) for i in chosen])))


def _steps(own: NDArray[np.float64], start: float, end: float, how: Match) -> NDArray[np.int64]:
    if how == "nearest":
        return np.array([np.abs(own[:, 0] - start).argmin()])
    inside = bins_within(own, start, end)
    if not len(inside):
        raise VentralError(
            f"the model has no step within the time bin {start:g} to {end:g} ms; its steps are {span_of(own)}"
        )
    return inside
