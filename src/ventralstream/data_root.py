"""The folder in which the published data sets lie: the one given, or the one that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from ventralstream.errors import VentralError

VARIABLE = "VENTRALSTREAM_DATA"


def data_root(root: str | Path | None, what: str) -> Path:
    """The folder to look for a data set in.

    Args:
        root: The folder; None: the one that the variable VENTRALSTREAM_DATA names.
        what: The data set, for the error.

    Raises:
        VentralError: None is given and none is named.
    """
    found = root if root is not None else os.environ.get(VARIABLE) or None
    if found is None:
        raise VentralError(f"'{what}' needs a root: --root FOLDER, in which it lies, or the variable {VARIABLE}")
    return Path(found)
