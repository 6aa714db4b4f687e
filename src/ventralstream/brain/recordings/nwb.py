"""Neurodata Without Borders (NWB) files: units and trials, as an assembly.

Read are the spike times of `/units` and a table of `/intervals`, by their names in the NWB 2 schema; nothing else in
the file matters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.arrays import as_column, as_floats, as_names
from ventralstream.assembly import TimeBins, assembly, nameless, pairs, time_bins
from ventralstream.brain.recordings.hdf5 import column, is_hdf5, opened
from ventralstream.brain.recordings.spikes import Unit, in_unit, repetition_numbers
from ventralstream.errors import VentralError, unknown

STIMULUS_COLUMNS = (
    "stimulus_id",
    "stimulus_name",
    "stimulus",
    "image_id",
    "image_name",
    "image",
    "filename",
    "stimulus_filename",
    "condition",
)
"""Where the stimulus is looked for, in this order."""
REGION_COLUMNS = ("region", "brain_area", "brain_region", "area", "location")
_NO_COORDINATES = ("start_time", "stop_time", "id")


def is_nwb(path: str | Path) -> bool:
    """Whether a path names an NWB file: by its ending, or by what is in it."""
    if Path(path).suffix == ".nwb":
        return True
    if not is_hdf5(path):
        return False
    with opened(path) as file:
        return "nwb_version" in file.attrs


def read_nwb(
    path: str | Path,
    *,
    stimulus: str | None = None,
    table: str = "trials",
    onset: str = "start_time",
    time_bins_ms: TimeBins | None = None,
    start_ms: float = -100,
    stop_ms: float = 400,
    bin_ms: float = 10,
    unit: Unit = "spikes/s",
) -> DataArray:
    """Reads recordings from an NWB file: the spikes of its units around the onsets of its trials.

    Args:
        path: The file (NWB 2, HDF5).
        stimulus: The column of the trials that names the stimulus; by default the first there is of `STIMULUS_COLUMNS`.
        table: Which table of `/intervals` has a row for each presentation.
        onset: Its column with the time of stimulus onset, in seconds.
        time_bins_ms: The time bins, in ms from onset, of any width; they may overlap.
        start_ms: Or from here ...
        stop_ms: ... to here ...
        bin_ms: ... in bins of this width.
        unit: "spikes/s" (rates) or "spikes" (counts); kept as the attribute `unit`.

    Returns:
        Assembly [presentation, neuroid, time_bin]. The trials' other columns are coordinates of the presentations and
        the units' of the neuroids (as `unit_NAME` where trials have the name too); presentations of the same stimulus
        are numbered in `repetition`; `region` is the units' own, or that of their electrode.

    Raises:
        VentralError: It is no such file, has no units or no such table or column, or trials lack an onset or a stimulus
            (counting them).
    """
    if Path(path).is_dir():
        raise VentralError(f"'{path}' is a folder: NWB is read from HDF5; export it to a single .nwb file first")
    with opened(path) as file:
        units, trials = _table(file, "units", path), _table(file, f"intervals/{table}", path)
        if "spike_times" not in units or "spike_times_index" not in units:
            raise VentralError(f"the units in '{path}' have no spike times (/units/spike_times and its index)")
        shown = _columns(trials)
        name = stimulus or next((c for c in STIMULUS_COLUMNS if c in shown), "")
        if not name:
            found = ", ".join(c for c in shown if c not in _NO_COORDINATES) or "none"
            raise VentralError(
                f"no column of '{table}' in '{path}' is known to name the stimulus; say which does: stimulus=..."
                f" (--stimulus), one of: {found}"
            )
        for each in (name, onset):
            if each not in shown:
                raise unknown("column", each, shown, f" of '{table}' in '{path}'")
        ids = as_names(shown.pop(name), nameless("presentation", "stimulus_id"))
        onsets = as_floats(shown[onset], f"'{onset}'").astype(np.float64)
        if missing := int(np.isnan(onsets).sum()):
            raise VentralError(f"{missing} of {len(onsets)} presentations have no '{onset}' (NaN)")
        bins = time_bins(start_ms, stop_ms, bin_ms) if time_bins_ms is None else pairs(time_bins_ms)
        counts = _counts(units, onsets, bins)
        about = _columns(units)
        region = next((about.pop(c) for c in REGION_COLUMNS if c in about), None)
        if region is None:
            region = _locations(file, units)
    names = as_names(about["id"]) if "id" in about else np.arange(counts.shape[1]).astype(str)
    presentation: dict[str, Any] = {n: v for n, v in shown.items() if n not in (*_NO_COORDINATES, "repetition")}
    taken = {*presentation, "stimulus_id", "repetition", "region", "neuroid_id"}
    return assembly(
        in_unit(counts, bins, unit),
        stimulus_id=ids,
        neuroid_id=names,
        region=region,
        repetition=repetition_numbers(ids),
        time_bins_ms=bins,
        presentation=presentation,
        neuroid={f"unit_{n}" if n in taken else n: v for n, v in about.items() if n != "id"},
        attrs={"unit": unit, "source": Path(path).name},
    )


def _table(file: h5py.File, name: str, path: str | Path) -> h5py.Group:
    found = file.get(name)
    if isinstance(found, h5py.Group):
        return found
    if name == "units":
        raise VentralError(f"'{path}' has no units (/units): only sorted or thresholded spikes are read from NWB")
    there = file.get("intervals")
    raise unknown(
        "table", name.partition("/")[2], list(there) if isinstance(there, h5py.Group) else [], f" of '{path}'"
    )


def _columns(table: h5py.Group) -> dict[str, NDArray[Any]]:
    """The columns with one value a row; others (ragged ones and their index, waveforms) are left."""
    rows = len(table["id"]) if "id" in table else None
    found: dict[str, NDArray[Any]] = {}
    for name, values in table.items():
        if (
            not isinstance(values, h5py.Dataset)
            or values.ndim != 1
            or name.endswith("_index")
            or f"{name}_index" in table
        ):
            continue
        if h5py.check_ref_dtype(values.dtype) is not None or values.dtype.kind == "V":  # references to other tables
            continue
        if rows is None or len(values) == rows:
            found[name] = column(values) if len(values) else as_column(values[()])
    return found


def _counts(units: h5py.Group, onsets: NDArray[np.float64], bins: list[tuple[float, float]]) -> NDArray[np.float64]:
    """Spikes [trial, unit, bin]; times are compared in whole microseconds, so that a bin's edge is exact."""
    ends = units["spike_times_index"][()].astype(np.int64)
    times = np.round(units["spike_times"][()].astype(np.float64) * 1e6)
    if len(ends) and (np.any(np.diff(ends, prepend=0) < 0) or ends[-1] > len(times)):
        raise VentralError("the index of the units' spike times does not fit them")
    edges = np.round(onsets * 1e6)[:, None, None] + np.round(np.array(bins, dtype=float) * 1e3)
    counts = np.empty((len(onsets), len(ends), len(bins)))
    for i, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        first, last = np.moveaxis(np.searchsorted(np.sort(times[start:end]), edges), -1, 0)
        counts[:, i] = last - first
    return counts


def _locations(file: h5py.File, units: h5py.Group) -> NDArray[Any] | None:
    """The location of each unit's (first) electrode."""
    electrodes = file.get("general/extracellular_ephys/electrodes/location")
    if "electrodes" not in units or not isinstance(electrodes, h5py.Dataset):
        return None
    rows, where = units["electrodes"][()].astype(np.int64), column(electrodes)
    if "electrodes_index" in units:
        ends = units["electrodes_index"][()].astype(np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        if (starts >= ends).any():
            return None  # a unit without an electrode
        rows = rows[starts]
    return where[rows] if len(rows) and rows.max() < len(where) else None
