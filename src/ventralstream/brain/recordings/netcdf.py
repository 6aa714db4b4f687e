"""Assemblies on disk: NetCDF in the layout that Brain-Score publishes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray
from numpy.typing import ArrayLike
from xarray import DataArray

from ventralstream.assembly import DIMS, as_column, check
from ventralstream.errors import VentralError

VARIABLE = "data"  # the name in the file, as Brain-Score's packaging has it


def plain(array: DataArray) -> DataArray:
    """Brings a Brain-Score assembly (or one read from its files) to plain coordinates and our order of dimensions.

    Brain-Score gathers the coordinates of a dimension into a MultiIndex, and undoes that to write them: they come apart
    into plain coordinates again here. What older xarray called `decoder_` in doing so becomes `decoder`; an index that
    was the only coordinate of its dimension is `stimulus_id` or `neuroid_id`; the older `image_id` is the `stimulus_id`
    unless there is one. Numbers on presentation x neuroid become floats.
    """
    plain_ = DataArray(array).reset_index(list(array.indexes))
    for dim in map(str, plain_.dims):
        alone = next((n for n in (dim, f"{dim}_") if n in plain_.coords), None)
        name = {"presentation": "stimulus_id", "neuroid": "neuroid_id"}.get(dim, dim)
        if alone is not None and alone != name and name not in plain_.coords:
            plain_ = plain_.assign_coords({name: (dim, plain_[alone].values)}).drop_vars(alone)
    if "image_id" in plain_.coords and "stimulus_id" not in plain_.coords:
        plain_ = plain_.assign_coords(stimulus_id=("presentation", plain_["image_id"].values))
    columns = {n: (c.dims, as_column(c.values)) for n, c in plain_.coords.items() if len(c.dims) == 1}
    if "stimulus_id" in columns:
        columns["stimulus_id"] = (columns["stimulus_id"][0], columns["stimulus_id"][1].astype(str))
    plain_ = plain_.assign_coords(columns)
    known = [d for d in DIMS if d in plain_.dims]
    plain_ = plain_.transpose(*known, ...)
    return plain_ if plain_.dtype.kind not in "iub" or known[:2] != list(DIMS[:2]) else plain_.astype(np.float64)


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
    """
    path = Path(path)
    if not path.is_file():
        raise VentralError(f"the recordings '{path}' do not exist" + (": it is a folder" if path.is_dir() else ""))
    try:
        dataset = xarray.open_dataset(path)
    except ValueError:  # no reader claims it
        raise VentralError(f"'{path}' is not a NetCDF file") from None
    except (OSError, RuntimeError) as error:
        raise VentralError(f"'{path}' cannot be read as NetCDF: {str(error).splitlines()[0]}") from None
    names = list(dataset.data_vars)
    if len(names) != 1:
        raise VentralError(f"'{path}' holds {len(names)} variables; an assembly is one")
    array = dataset[names[0]].rename(None)
    array.attrs = {**dataset.attrs, **array.attrs}
    if not load:
        return _checked(plain(array), path)
    with dataset:
        return _checked(plain(array.load()), path)


def write(recordings: DataArray, path: str | Path) -> None:
    """Writes an assembly as NetCDF 4, in the layout that Brain-Score publishes and reads.

    Args:
        recordings: An assembly; its attributes are text, numbers, or lists of them.
        path: The file; written beside, then renamed.

    Raises:
        VentralError: It is no assembly, an attribute is something else, or the file cannot be written.
    """
    path, part = Path(path), Path(f"{path}.part")
    for name, value in recordings.attrs.items():
        if isinstance(value, bool) or not isinstance(value, (str, numbers.Real, list, tuple, np.ndarray)):
            raise VentralError(f"the attribute '{name}' is {type(value).__name__}; NetCDF keeps text and numbers")
    dataset = plain(check(recordings)).to_dataset(name=VARIABLE, promote_attrs=True)
    try:
        encoding = {VARIABLE: {"zlib": True, "complevel": 4}}
        dataset.to_netcdf(part, engine="h5netcdf", encoding=encoding)
        part.replace(path)
    except (OSError, TypeError, ValueError) as error:
        part.unlink(missing_ok=True)
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
    position = {id_: i for i, id_ in enumerate(as_column(table[key]).astype(str).tolist())}
    shown = as_column(recordings["stimulus_id"].values).astype(str).tolist()
    absent = [id_ for id_ in dict.fromkeys(shown) if id_ not in position]
    if absent:
        raise VentralError(f"{len(absent)} of the stimuli presented are not in the table, e.g. '{absent[0]}'")
    rows = [position[id_] for id_ in shown]
    new = {
        str(name): ("presentation", as_column(table[name])[rows])
        for name in table
        if str(name) not in recordings.coords
    }
    return recordings.assign_coords(new)


def _checked(array: DataArray, path: Path) -> DataArray:
    """An assembly is checked; what has no neuroids (behaviour) is given as it is."""
    if "neuroid" not in array.dims:
        return array
    try:
        return check(array)
    except VentralError as error:
        raise VentralError(f"'{path}': {error}") from None
