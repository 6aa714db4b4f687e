"""What the loaders share: finding files, and reading them without running anything that is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import scipy.io
from numpy.typing import NDArray

from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, unknown


@dataclass(frozen=True)
class Source:
    """Where a data set is from; as text a part of a sentence that ends with where to get it.

    Attributes:
        what: What it is, and whose.
        folder: The folder in which it lies, in that of the data sets.
        address: Where its authors publish it.
    """

    what: str
    folder: str
    address: str

    def __str__(self) -> str:
        return f"{self.what}, looked for in the folder '{self.folder}'; get it at {self.address}"


def find(root: str | Path | None, name: str, source: Source) -> Path:
    """A file or folder of a data set.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names.
        name: Path below the set's own folder; "" for that folder.
        source: The set.

    Raises:
        VentralError: It is not there; the error says where to get it.
    """
    path = data_root(root, source.folder) / source.folder / name
    if not path.exists():
        raise VentralError(f"'{path}' does not exist; it is part of {source}")
    return path


def read_npy(path: Path) -> NDArray[Any]:
    """An array of numbers; a file of pickled objects is refused."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise VentralError(f"'{path}' cannot be read: {error}") from None
    return array


def read_mat(path: Path, simplify: bool = True) -> dict[str, Any]:
    """A MATLAB file: structs as dicts, or as NumPy records where `simplify` is False."""
    try:
        contents: dict[str, Any] = scipy.io.loadmat(path, simplify_cells=simplify)
    except (OSError, ValueError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise VentralError(f"'{path}' cannot be read: {error}") from None
    return contents


def read_table(path: Path, columns: dict[str, str] | None = None) -> dict[str, NDArray[Any]]:
    """The columns of a CSV file, by name; where text is missing it is "".

    Args:
        path: The file, compressed or not.
        columns: Those wanted, and what to call them; all by default, under their own names.

    Raises:
        VentralError: It cannot be read, or lacks a column.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError, EOFError) as error:
        raise VentralError(f"'{path}' cannot be read: {error}") from None
    columns = {name: name for name in table.columns} if columns is None else columns
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise unknown("column", absent[0], table.columns, f" of '{path}'")
    return {ours: _filled(np.asarray(table[theirs])) for theirs, ours in columns.items()}


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "O" or not any(isinstance(v, str) for v in values.tolist()):
        return values
    return np.array([v if isinstance(v, str) else "" if v != v else str(v) for v in values.tolist()])
