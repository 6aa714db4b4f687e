"""HDF5 files of other tools, opened and read without running anything that is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ventralstream.arrays import as_column
from ventralstream.errors import VentralError


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Opens a file for reading.

    Raises:
        VentralError: It is not there, is not HDF5, or breaks off while it is read.
    """
    path = Path(path)
    if not path.is_file():
        raise VentralError(f"'{path}' does not exist" + (": it is a folder" if path.is_dir() else ""))
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise VentralError(f"'{path}' cannot be read as HDF5: {' '.join(str(error).split())}") from None


def is_hdf5(path: str | Path) -> bool:
    """Whether there is a file of that kind."""
    return Path(path).is_file() and bool(h5py.is_hdf5(path))


def column(dataset: h5py.Dataset) -> NDArray[Any]:
    """A dataset as a column: numbers, or text, also as MATLAB writes it (references to arrays of character codes)."""
    values = np.squeeze(dataset[()])
    if dataset.dtype.kind == "O" and h5py.check_ref_dtype(dataset.dtype) is not None:
        return as_column([_text(dataset.file[reference]) for reference in np.ravel(values)])
    if dataset.attrs.get("MATLAB_class") == b"char":
        return as_column(["".join(map(chr, codes)) for codes in np.atleast_2d(values.T)])
    return as_column(np.atleast_1d(values))


def _text(dataset: h5py.Dataset) -> Any:
    values = dataset[()]
    if dataset.dtype.kind == "u" and dataset.attrs.get("MATLAB_class", b"char") == b"char":
        return "".join(map(chr, np.ravel(values.T)))
    return np.ravel(values)[0] if np.size(values) else None
