"""Recordings from spike rasters of 1 ms: counted in bins of any width."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from xarray import DataArray

from ventralstream.arguments import whole
from ventralstream.arrays import as_floats, as_keys, as_names
from ventralstream.assembly import Coordinates, TimeBins, assembly, pairs, time_bins
from ventralstream.errors import VentralError, unknown

Unit: TypeAlias = Literal["spikes/s", "spikes"]
UNITS: tuple[Unit, ...] = ("spikes/s", "spikes")


def repetition_numbers(*labels: ArrayLike) -> NDArray[np.int64]:
    """Numbers the presentations of each stimulus 0, 1, 2, ... in the order they come.

    Args:
        labels: One or more arrays [presentation]; presentations that agree in all of them are repetitions.
    """
    seen: dict[tuple[Any, ...], int] = {}
    numbers_ = []
    for key in zip(*(as_keys(as_names(label, "trials have no name")).tolist() for label in labels), strict=True):
        numbers_.append(seen.get(key, 0))
        seen[key] = numbers_[-1] + 1
    return np.array(numbers_, dtype=np.int64)


def count_spikes(spikes: ArrayLike, onset: int, time_bins_ms: TimeBins) -> NDArray[np.float64]:
    """Counts spikes in time bins.

    Args:
        spikes: [..., ms], a sample a millisecond; NaN where nothing was recorded.
        onset: The sample (counted from 0) that begins at stimulus onset.
        time_bins_ms: Start and end of each bin, whole ms from onset; of any width, and they may overlap.

    Returns:
        [..., time_bin] counts; NaN in a bin that holds a NaN.

    Raises:
        VentralError: for a bin outside the raster, or not of whole milliseconds, and for negative or infinite counts.
    """
    raster, onset = _raster(spikes), whole("onset", onset)
    length = raster.shape[-1] if raster.ndim else 0
    edges = []
    for start, end in pairs(time_bins_ms):
        if start != int(start) or end != int(end) or not end > start:
            raise VentralError(
                f"the raster is of 1 ms; the time bin {start:g} to {end:g} ms is not of whole milliseconds"
            )
        if onset + start < 0 or onset + end > length:
            raise VentralError(
                f"the time bin {start:g} to {end:g} ms lies outside the raster,"
                f" which covers {-onset} to {length - onset} ms"
            )
        edges.append((onset + int(start), onset + int(end)))
    first, last = np.array(edges, dtype=int).reshape(-1, 2).T

    def total(samples: NDArray[Any], dtype: type) -> NDArray[Any]:
        sums = np.zeros((*samples.shape[:-1], length + 1), dtype)
        np.cumsum(samples, axis=-1, out=sums[..., 1:])
        return sums[..., last] - sums[..., first]

    if raster.dtype.kind != "f":
        fits = float(np.max(raster, initial=0)) * max(length, 1) < 2**31
        return total(raster, np.int32 if fits else np.float64).astype(np.float64)
    missing = np.isnan(raster)
    counts = total(np.where(missing, 0, raster), np.float64)
    return np.where(total(missing, np.int32) > 0, np.nan, counts)


def from_spikes(
    spikes: ArrayLike,
    *,
    onset: int,
    stimulus_id: ArrayLike,
    bin_ms: int = 10,
    time_bins_ms: TimeBins | None = None,
    unit: Unit = "spikes/s",
    repetition: ArrayLike | None = None,
    neuroid_id: ArrayLike | None = None,
    region: str | ArrayLike | None = None,
    object_name: ArrayLike | None = None,
    presentation: Coordinates | None = None,
    neuroid: Coordinates | None = None,
) -> DataArray:
    """Makes an assembly from spike rasters.

    Args:
        spikes: [trial, neuron, ms], a sample a millisecond; NaN where nothing was recorded.
        onset: The sample (counted from 0) that begins at stimulus onset.
        stimulus_id: Which stimulus each trial shows.
        bin_ms: Width of the bins, which fill the raster; onset is an edge, and an incomplete bin at an end is left out.
        time_bins_ms: Or other bins, in whole ms from onset; of any width, and they may overlap.
        unit: "spikes/s" (rates) or "spikes" (counts); kept as the attribute `unit`.
        repetition: Which repetition of its stimulus each trial is; by default they are numbered as they come.
        neuroid_id: As in `assembly`, also those that follow.
        region: As in `assembly`.
        object_name: As in `assembly`.
        presentation: As in `assembly`.
        neuroid: As in `assembly`.

    Raises:
        VentralError: for a raster of another shape, a bin outside it, or sizes that do not match.
    """
    raster, onset = _raster(spikes), whole("onset", onset)
    if raster.ndim != 3:
        raise VentralError(f"a raster is [trial, neuron, ms]; got shape {list(raster.shape)}")
    bins = time_bins(-onset, raster.shape[2] - onset, bin_ms) if time_bins_ms is None else pairs(time_bins_ms)
    return assembly(
        in_unit(count_spikes(raster, onset, bins), bins, unit),
        stimulus_id=stimulus_id,
        neuroid_id=neuroid_id,
        region=region,
        repetition=repetition_numbers(stimulus_id) if repetition is None else repetition,
        object_name=object_name,
        time_bins_ms=bins,
        presentation=presentation,
        neuroid=neuroid,
        attrs={"unit": unit},
    )


def _raster(spikes: ArrayLike) -> NDArray[Any]:
    """A raster as it is counted: whole numbers as they are, if none is missing; else floats."""
    is_whole = isinstance(spikes, np.ndarray) and spikes.dtype.kind in "iub" and not np.ma.is_masked(spikes)
    raster: NDArray[Any] = spikes if is_whole else as_floats(spikes, "spikes")  # type: ignore[assignment]
    low = np.nanmin(raster, initial=0)
    if low < 0 or not np.isfinite(np.nanmax(raster, initial=0)):
        raise VentralError(
            f"spikes are counts of at least 0; got {low if low < 0 else np.inf:g}. What is missing is NaN or masked"
        )
    return raster


def in_unit(counts: NDArray[np.float64], time_bins_ms: TimeBins, unit: Unit) -> NDArray[np.float64]:
    """Counts [..., time_bin] as they are ("spikes") or as rates ("spikes/s")."""
    if unit not in UNITS:
        raise unknown("unit", unit, UNITS)
    if unit == "spikes":
        return counts
    seconds = np.array([(end - start) / 1000 for start, end in time_bins_ms])
    return np.asarray(counts / seconds)
