"""Assemblies: arrays of presentation x neuroid (x time_bin) whose coordinates say what each row is.

An assembly is an `xarray.DataArray` of floats. Its coordinates are plain ones, named as in Brain-Score's assemblies:

- on presentation: `stimulus_id` (str), and where they are known `repetition` (int), `object_name` (str), others;
- on neuroid: `neuroid_id`, and where it is known `region`, others;
- on time_bin: `time_bin_start`, `time_bin_end`, in ms from stimulus onset.

NaN stands for a response that is missing. Recordings and model features (`ventralstream.features.assemblies`) are both
assemblies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray
from xarray import DataArray

from ventralstream.errors import VentralError

DIMS = ("presentation", "neuroid", "time_bin")

TimeBins: TypeAlias = Iterable[tuple[float, float]]
Coordinates: TypeAlias = Mapping[str, ArrayLike]


def assembly(
    values: ArrayLike,
    *,
    stimulus_id: ArrayLike,
    neuroid_id: ArrayLike | None = None,
    region: str | ArrayLike | None = None,
    repetition: ArrayLike | None = None,
    object_name: ArrayLike | None = None,
    time_bins_ms: TimeBins | None = None,
    presentation: Coordinates | None = None,
    neuroid: Coordinates | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> DataArray:
    """Makes an assembly from an array.

    Args:
        values: [presentation, neuroid] or [presentation, neuroid, time_bin]; whole numbers become floats.
        stimulus_id: Which stimulus each presentation shows; they become strings.
        neuroid_id: Names of the neuroids; "0", "1", ... by default.
        region: The neuroids' region, one for all or one each.
        repetition: Which repetition of its stimulus each presentation is.
        object_name: What each presentation shows.
        time_bins_ms: Start and end of each time bin in ms from stimulus onset; needed if there are time bins.
        presentation: Further coordinates of the presentations, by name.
        neuroid: Further coordinates of the neuroids, by name.
        attrs: What is true of all: text and numbers.

    Returns:
        The assembly; float32 stays float32, everything else is float64.

    Raises:
        VentralError: for sizes that do not match, infinite values or missing coordinates.
    """
    array = np.asarray(values)
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiub":
        raise VentralError(
            "responses are numbers [presentation, neuroid] or [presentation, neuroid, time_bin];"
            f" got {array.dtype} of shape {list(array.shape)}"
        )
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    if np.isinf(array).any():
        raise VentralError(f"{np.isinf(array).sum()} responses are infinite; a missing response is NaN")
    if (array.ndim == 3) != (time_bins_ms is not None):
        raise VentralError("time_bins_ms belongs to responses of three dimensions, and they need it")
    dims = DIMS[: array.ndim]
    sizes = dict(zip(dims, array.shape, strict=True))
    names = np.arange(sizes["neuroid"]).astype(str) if neuroid_id is None else neuroid_id
    regions = np.full(sizes["neuroid"], region) if isinstance(region, str) else region
    on: dict[str, dict[str, ArrayLike | None]] = {
        "presentation": {"stimulus_id": stimulus_id, "repetition": repetition, "object_name": object_name},
        "neuroid": {"neuroid_id": names, "region": regions},
    }
    on["presentation"].update(presentation or {})
    on["neuroid"].update(neuroid or {})
    if time_bins_ms is not None:
        bins = np.array([tuple(b) for b in time_bins_ms], dtype=float).reshape(-1, 2)
        on["time_bin"] = {"time_bin_start": bins[:, 0], "time_bin_end": bins[:, 1]}
    coords = {}
    for dim, columns in on.items():
        for name, values_ in columns.items():
            if values_ is None:
                continue
            coordinate = as_column(values_)
            if len(coordinate) != sizes[dim]:
                raise VentralError(f"{len(coordinate)} values of '{name}' for {sizes[dim]} of dimension '{dim}'")
            coords[name] = (dim, coordinate.astype(str) if name == "stimulus_id" else coordinate)
    return check(DataArray(array, dims=dims, coords=coords, attrs=dict(attrs or {})))


def check(recordings: DataArray) -> DataArray:
    """Gives the assembly back if it is one, else says in one sentence what it lacks.

    Raises:
        VentralError: for other dimensions, numbers that are not floats, or a missing coordinate.
    """
    dims = recordings.dims
    if dims not in (DIMS[:2], DIMS):
        raise VentralError(
            "an assembly has the dimensions presentation, neuroid (and time_bin), in this order;"
            f" got {', '.join(map(str, dims))}"
        )
    if recordings.dtype.kind != "f":
        raise VentralError(f"an assembly holds floats, got {recordings.dtype}")
    needed = {"stimulus_id": "presentation", "neuroid_id": "neuroid"}
    if "time_bin" in dims:
        needed |= {"time_bin_start": "time_bin", "time_bin_end": "time_bin"}
    for name, dim in needed.items():
        if name not in recordings.coords or recordings[name].dims != (dim,):
            raise VentralError(f"the assembly lacks the coordinate '{name}' on its dimension '{dim}'")
    if "time_bin" in dims:
        for start, end in time_bins_of(recordings):
            if not end > start:
                raise VentralError(f"the time bin {start:g} to {end:g} ms ends before it starts")
    return recordings


def time_bins(start_ms: float, stop_ms: float, bin_ms: float) -> list[tuple[float, float]]:
    """The whole bins of one width between two times; stimulus onset (0) is an edge of the grid."""
    if not bin_ms > 0:
        raise VentralError(f"bin_ms is {bin_ms}; expected a width above 0")
    first, last = int(np.ceil(start_ms / bin_ms - 1e-9)), int(np.floor(stop_ms / bin_ms + 1e-9))
    if last <= first:
        raise VentralError(f"no whole bin of {bin_ms:g} ms lies between {start_ms:g} and {stop_ms:g} ms")
    return [(k * bin_ms, (k + 1) * bin_ms) for k in range(first, last)]


def time_bins_of(recordings: DataArray) -> list[tuple[float, float]]:
    """Start and end of an assembly's time bins, in ms.

    Raises:
        VentralError: It is not resolved in time.
    """
    if "time_bin" not in recordings.dims:
        raise VentralError("the assembly is not resolved in time: it has no dimension 'time_bin'")
    starts, ends = recordings["time_bin_start"].values, recordings["time_bin_end"].values
    return [(float(s), float(e)) for s, e in zip(starts, ends, strict=True)]


def with_time_bins(recordings: DataArray, values: NDArray[Any], time_bins_ms: TimeBins) -> DataArray:
    """The same presentations and neuroids with other values [presentation, neuroid, time_bin]."""
    coords = {name: c.variable for name, c in recordings.coords.items() if "time_bin" not in c.dims}
    starts, ends = zip(*time_bins_ms, strict=True)
    coords |= {
        "time_bin_start": xarray.Variable("time_bin", np.array(starts, dtype=float)),
        "time_bin_end": xarray.Variable("time_bin", np.array(ends, dtype=float)),
    }
    return DataArray(values, dims=DIMS, coords=coords, attrs=recordings.attrs)


def as_column(values: ArrayLike) -> NDArray[Any]:
    """A coordinate as a NumPy array; text of any kind (objects, pandas' own) as NumPy's."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise VentralError(f"a coordinate is a list of values, got shape {list(array.shape)}")
    if array.dtype.kind in "OT" and all(isinstance(v, str) for v in array.tolist()):
        return np.array(array.tolist(), dtype=str)
    return array
