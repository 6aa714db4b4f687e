"""Assemblies on disk: NetCDF in the layout that Brain-Score publishes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray
from numpy.typing import ArrayLike
from xarray import DataArray

from ventralstream.arrays import as_column, as_keys, as_names
from ventralstream.assembly import check, names_of, numbers_of, plain
from ventralstream.errors import VentralError
from ventralstream.files import replacing

_UNITS = {
    0: ("", "ms", "msec", "msecs", "millisecond", "milliseconds"),
    3: ("s", "sec", "secs", "second", "seconds"),
    -3: ("us", "usec", "µs", "μs", "microsecond", "microseconds"),
    -6: ("ns", "nanosecond", "nanoseconds"),
}  # what others write, by the power of ten to a millisecond
VARIABLE = "data"  # the name in the file, as Brain-Score's packaging has it


def read(path: str | Path, *, load: bool = True) -> DataArray:
    """Reads an assembly from NetCDF: one of Brain-Score's, or one that `write` has written.

    Args:
        path: The file: NetCDF 4, or 3.
        load: Whether to read the values now. Else they are read when they are used, which lets `select` take a part of
            a large file; the file stays open.

    Returns:
        The assembly, with plain coordinates; see `plain`. Brain-Score's behavioural files have other dimensions:
        `presentation` alone (choices, as text), or `presentation` and `decoder` (object solution times).

    Raises:
        VentralError: There is no such file, it is not NetCDF, or it is not one assembly.

    Times of bins with another unit (an attribute `units` of "s", "us", ...) become milliseconds.
    """
    path = Path(path)
    if not path.is_file():
        raise VentralError(f"the recordings '{path}' do not exist" + (": it is a folder" if path.is_dir() else ""))
    if path.suffix == ".nwb":
        raise VentralError(f"'{path}' is an NWB file; `read_nwb` reads it")
    try:
        dataset = xarray.open_dataset(path)
    except ValueError:  # no reader claims it
        raise VentralError(f"'{path}' is not a NetCDF file") from None
    except (OSError, RuntimeError) as error:
        raise VentralError(f"'{path}' cannot be read as NetCDF: {str(error).splitlines()[0]}") from None
    wide = [n for n, v in dataset.data_vars.items() if v.ndim > 1]
    if len(wide) == 1:  # a coordinate whose name holds a space comes as a variable
        dataset = dataset.set_coords([n for n in dataset.data_vars if n != wide[0]])
    names = list(dataset.data_vars)
    if len(names) != 1:
        raise VentralError(f"'{path}' holds {len(names)} variables; an assembly is one")
    array = dataset[names[0]].rename(None)
    array.attrs = {**dataset.attrs, **array.attrs}
    if not load:
        return _checked(_in_ms(plain(array), path), path)
    with dataset:
        return _checked(_in_ms(plain(array.load()), path), path)


def write(recordings: DataArray, path: str | Path) -> None:
    """Writes an assembly as NetCDF 4, in the layout that Brain-Score publishes and reads.

    Args:
        recordings: An assembly; its attributes are text, numbers, or lists of them.
        path: The file; written beside, then renamed.

    Raises:
        VentralError: It is no assembly, an attribute is something else, or the file cannot be written.
    """
    recordings = check(recordings)
    for name, value in recordings.attrs.items():
        if isinstance(value, bool) or not isinstance(value, (str, numbers.Real, list, tuple, np.ndarray)):
            raise VentralError(f"the attribute '{name}' is {type(value).__name__}; NetCDF keeps text and numbers")
    name = VARIABLE
    while name in recordings.coords:  # a coordinate may have any name
        name += "_"
    dataset = recordings.to_dataset(name=name, promote_attrs=True)
    try:
        with replacing(path) as part:
            dataset.to_netcdf(part, engine="h5netcdf", encoding={name: {"zlib": True, "complevel": 4}})
    except (OSError, TypeError, ValueError) as error:
        raise VentralError(f"cannot write '{path}': {str(error).splitlines()[0]}") from None


def with_stimulus_table(recordings: DataArray, table: Mapping[str, ArrayLike]) -> DataArray:
    """Adds what a table says of the stimuli as coordinates of their presentations, as Brain-Score does on loading.

    Args:
        recordings: An array with a `stimulus_id`.
        table: Columns by name (a pandas.DataFrame will do): `stimulus_id` (or the older `image_id`), and others; those
            that the array has as coordinates already are left as they are.

    Raises:
        VentralError: Presentations show stimuli that are not in the table.
    """
    key = next((n for n in ("stimulus_id", "image_id") if n in table), None)
    if key is None:
        raise VentralError("the table of stimuli has no column 'stimulus_id'")
    position = {id_: i for i, id_ in enumerate(as_keys(as_names(table[key], "stimuli of the table")).tolist())}
    shown = names_of(recordings, "stimulus_id").tolist()
    absent = [id_ for id_ in dict.fromkeys(shown) if id_ not in position]
    if absent:
        raise VentralError(f"{len(absent)} of the stimuli presented are not in the table, e.g. '{absent[0]}'")
    rows = [position[id_] for id_ in shown]
    new = {
        str(name): ("presentation", as_column(table[name])[rows])
        for name in table
        if str(name) not in (*recordings.coords, *recordings.dims)
    }
    return recordings.assign_coords(new)


def _in_ms(array: DataArray, path: Path) -> DataArray:
    """The times of bins in ms, as their unit says."""
    for name in ("time_bin_start", "time_bin_end"):
        if name not in array.coords or array[name].dtype.kind == "m":
            continue
        unit = str(array[name].attrs.get("units", "ms")).strip()
        power = next((p for p, words in _UNITS.items() if unit.lower() in words), None)
        if power is None:
            raise VentralError(f"'{path}': the unit of '{name}' is '{unit}'; expected a unit of time, such as ms or s")
        if power:
            times = numbers_of(array, name) * 10.0**power
            array = array.assign_coords({name: (array[name].dims, times, {**array[name].attrs, "units": "ms"})})
    return array


def _checked(array: DataArray, path: Path) -> DataArray:
    """An assembly is checked; what has no neuroids (behaviour) is given as it is."""
    if "neuroid" not in array.dims:
        return array
    try:
        return check(array)
    except VentralError as error:
        raise VentralError(f"'{path}': {error}") from None
