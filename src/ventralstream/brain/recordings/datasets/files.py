"""What the loaders share: finding files, and reading them without running anything that is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import scipy.io
from numpy.typing import NDArray

from ventralstream.errors import VentralError, unknown


def find(root: str | Path, name: str, source: str) -> Path:
    """A file or folder of a data set.

    Args:
        root: The folder of the data sets.
        name: Path below it.
        source: Where the set comes from, for the error.

    Raises:
        VentralError: It is not there.
    """
    path = Path(root) / name
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
