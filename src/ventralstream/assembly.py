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

from ventralstream.arrays import as_column, as_floats, as_keys, as_names, distinct
from ventralstream.errors import VentralError, unknown

DIMS = ("presentation", "neuroid", "time_bin")
NAMES = ("stimulus_id", "neuroid_id")

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
        values: [presentation, neuroid] or [presentation, neuroid, time_bin]; whole numbers become floats, what is
            masked becomes NaN.
        stimulus_id: Which stimulus each presentation shows; they become text, without space around it.
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
        VentralError: for sizes that do not match, infinite values, or missing coordinates or names (counting them).
    """
    array = as_floats(values, "responses")
    if array.ndim not in (2, 3):
        raise VentralError(
            "responses are numbers [presentation, neuroid] or [presentation, neuroid, time_bin];"
            f" got {array.dtype} of shape {list(array.shape)}"
        )
    check_finite(array)
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
        bins = np.array(pairs(time_bins_ms), dtype=float).reshape(-1, 2)
        on["time_bin"] = {"time_bin_start": bins[:, 0], "time_bin_end": bins[:, 1]}
    coords: dict[str, Any] = {}
    for dim, columns in on.items():
        for name, values_ in columns.items():
            if values_ is None:
                continue
            coordinate_ = as_names(values_, nameless(dim, name)) if name in NAMES else as_column(values_)
            if len(coordinate_) != sizes[dim]:
                raise VentralError(f"{len(coordinate_)} values of '{name}' for {sizes[dim]} of dimension '{dim}'")
            if name in coords or (name in DIMS and name != dim):
                other = f"dimension '{coords[name][0]}' has one too" if name in coords else "that is a dimension"
                raise VentralError(f"a coordinate of dimension '{dim}' cannot be called '{name}': {other}")
            coords[name] = (dim, coordinate_)
    return check(DataArray(array, dims=dims, coords=coords, attrs=dict(attrs or {})))


def pairs(time_bins_ms: TimeBins) -> list[tuple[float, float]]:
    """Time bins as pairs of start and end.

    Raises:
        VentralError: They are something else, or not finite.
    """
    try:
        bins = [(float(start), float(end)) for start, end in time_bins_ms]
    except (TypeError, ValueError):
        raise VentralError("time bins are pairs (start, end) in ms, such as [(0, 10), (10, 20)]") from None
    if not np.isfinite(bins).all():
        raise VentralError("time bins are pairs (start, end) in ms; got one that is not finite")
    return bins


def check_finite(values: NDArray[Any]) -> None:
    """Refuses infinite responses: a missing one is NaN."""
    if np.isinf(values).any():
        raise VentralError(f"{np.isinf(values).sum()} responses are infinite; a missing response is NaN")


def nameless(dim: str, name: str) -> str:
    """Which rows have no name, for errors."""
    return f"{dim}s have no '{name}'"


def plain(array: DataArray) -> DataArray:
    """Brings an array of Brain-Score's (or one read from its files) to plain coordinates and our order of dimensions.

    Brain-Score gathers the coordinates of a dimension into a MultiIndex, and undoes that to write them: they come apart
    into plain coordinates again here. What older xarray called `decoder_` in doing so becomes `decoder`; an index that
    was the only coordinate of its dimension is `stimulus_id` or `neuroid_id`; the older `image_id` is the `stimulus_id`
    unless there is one. Numbers on presentation x neuroid become floats. What is plain already is given as it is.
    """
    if not isinstance(array, DataArray):
        raise VentralError(
            f"expected an assembly (an xarray.DataArray), got {type(array).__name__}; `brain.assembly` makes one"
        )
    plain_ = array if type(array) is DataArray else DataArray(array)
    if plain_.indexes:
        plain_ = plain_.reset_index(list(plain_.indexes))
    for dim in map(str, plain_.dims):
        alone = next((n for n in (dim, f"{dim}_") if n in plain_.coords), None)
        name = {"presentation": "stimulus_id", "neuroid": "neuroid_id"}.get(dim, dim)
        if alone is not None and alone != name and name not in plain_.coords:
            plain_ = plain_.assign_coords({name: (dim, plain_[alone].values)}).drop_vars(alone)
    if "image_id" in plain_.coords and "stimulus_id" not in plain_.coords:
        plain_ = plain_.assign_coords(stimulus_id=("presentation", plain_["image_id"].values))
    columns = {}
    for name, c in ((str(n), c) for n, c in plain_.coords.items()):
        if len(c.dims) == 1 and (c.dtype.kind in "OST" or (name in NAMES and c.dtype.kind != "U")):
            dim = str(c.dims[0])
            columns[name] = (dim, as_names(c.values, nameless(dim, name)) if name in NAMES else as_column(c.values))
    plain_ = plain_.assign_coords(columns) if columns else plain_
    known = [d for d in DIMS if d in plain_.dims]
    if plain_.dims[: len(known)] != tuple(known):
        plain_ = plain_.transpose(*known, ...)
    if known[:2] == list(DIMS[:2]) and plain_.dtype not in (np.float32, np.float64) and plain_.dtype.kind in "fiubO":
        plain_ = plain_.copy(data=as_floats(plain_.values, "responses"))
    return plain_


def check(recordings: DataArray) -> DataArray:
    """An assembly as all functions here take it, if it is one; else says in one sentence what it lacks.

    Args:
        recordings: Any array with the dimensions and coordinates of an assembly; also one of Brain-Score's, whose
            coordinates are in a MultiIndex, with its dimensions in any order, and of whole numbers.

    Returns:
        The same with plain coordinates, its dimensions in order, and floats; see `plain`.

    Raises:
        VentralError: for other dimensions, values that are no numbers, nothing at all, or a missing coordinate.
    """
    recordings = plain(recordings)
    dims = recordings.dims
    if dims not in (DIMS[:2], DIMS):
        raise VentralError(
            f"an assembly has the dimensions presentation, neuroid (and time_bin); got {', '.join(map(str, dims))}"
        )
    if recordings.dtype.kind != "f":
        raise VentralError(f"an assembly holds floats, got {recordings.dtype}")
    if not recordings.size:
        raise VentralError("the assembly is empty: " + ", ".join(f"{n} {d}s" for d, n in recordings.sizes.items()))
    needed = {"stimulus_id": "presentation", "neuroid_id": "neuroid"}
    if "time_bin" in dims:
        needed |= {"time_bin_start": "time_bin", "time_bin_end": "time_bin"}
    for name, dim in needed.items():
        if name not in recordings.coords or recordings[name].dims != (dim,):
            raise VentralError(f"the assembly lacks the coordinate '{name}' on its dimension '{dim}'")
    for name in ("stimulus_id", "neuroid_id"):
        names_of(recordings, name)
    if "time_bin" in dims:
        for start, end in time_bins_of(recordings):
            if not end > start:
                raise VentralError(f"the time bin {start:g} to {end:g} ms ends before it starts")
    return recordings


def in_order(array: DataArray, *dims: str, what: str) -> DataArray:
    """An array with these dimensions, in this order.

    Args:
        array: It may have them in any order.
        dims: The dimensions.
        what: What takes it, for the error, e.g. "an RDM".

    Raises:
        VentralError: It is no `xarray.DataArray`, or has other dimensions.
    """
    if not isinstance(array, DataArray) or set(array.dims) != set(dims):
        has = list(array.dims) if isinstance(array, DataArray) else type(array).__name__
        raise VentralError(f"{what} takes [{', '.join(dims)}]; got {has}")
    return plain(array).transpose(*dims)


def coordinate(array: DataArray, name: str) -> NDArray[Any]:
    """The values of a coordinate, as `as_column` gives them.

    Raises:
        VentralError: When the array lacks it.
    """
    if name not in array.coords:
        raise unknown("coordinate", name, [str(c) for c in array.coords], " of the assembly")
    return as_column(array[name].values)


def names_of(array: DataArray, name: str) -> NDArray[np.str_]:
    """The names that a coordinate holds, in the form in which they are compared: what is equal here is the same thing.

    Text, whatever the coordinate was; see `as_names` and `as_keys`.

    Raises:
        VentralError: When the array lacks the coordinate, or names are missing in it (counting them).
    """
    values = coordinate(array, name)
    return as_keys(as_names(values, nameless(str(array[name].dims[0]), name)))


def groups_of(array: DataArray, name: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The different values of a coordinate, and which of them each row has; see `distinct`.

    Raises:
        VentralError: When the array lacks the coordinate, or values are missing in it (counting them).
    """
    return distinct(coordinate(array, name), nameless(str(array[name].dims[0]), name))


def numbers_of(array: DataArray, name: str) -> NDArray[np.float64]:
    """The numbers that a coordinate holds; lengths of time in ms.

    Raises:
        VentralError: When the array lacks the coordinate, it holds something else, or numbers are missing in it.
    """
    held = coordinate(array, name)
    if held.dtype.kind == "m":
        held = held / np.timedelta64(1, "ms")  # NaT becomes NaN
    values = as_floats(held, f"the values of '{name}'").astype(np.float64)
    missing = int(np.isnan(values).sum())
    if missing:
        raise VentralError(f"{missing} of {len(values)} {nameless(str(array[name].dims[0]), name)} (NaN)")
    return values


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
    if "time_bin" not in plain(recordings).dims:
        raise VentralError("the assembly is not resolved in time: it has no dimension 'time_bin'")
    starts, ends = numbers_of(recordings, "time_bin_start"), numbers_of(recordings, "time_bin_end")
    return [(float(s), float(e)) for s, e in zip(starts, ends, strict=True)]


def span_of(bins: Iterable[Iterable[float]]) -> str:
    """Which time bins there are, in words: the first of them, and where the last ends."""
    ordered = sorted(tuple(b) for b in bins)
    start, end = ordered[0]
    return f"{start:g} to {end:g} ms and on to {max(last for _, last in ordered):g} ms"


def with_time_bins(recordings: DataArray, values: NDArray[Any], time_bins_ms: TimeBins) -> DataArray:
    """The same presentations and neuroids with other values [presentation, neuroid, time_bin]."""
    coords = {name: c.variable for name, c in recordings.coords.items() if "time_bin" not in c.dims}
    starts, ends = zip(*time_bins_ms, strict=True)
    coords |= {
        "time_bin_start": xarray.Variable("time_bin", np.array(starts, dtype=float)),
        "time_bin_end": xarray.Variable("time_bin", np.array(ends, dtype=float)),
    }
    return DataArray(values, dims=DIMS, coords=coords, attrs=recordings.attrs)
