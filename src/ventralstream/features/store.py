"""Features on disk: a zarr group with a subgroup for each area, opened with xarray.

    features.zarr/       provenance and the files skipped, as attributes
      journal.jsonl      what was written, with checksums
      conv5/
        activations      [stimulus, step, channel, y, x]; reduced: [stimulus, step, channel or feature]
        stimulus_id, step, time_ms

`ventralstream.features.writer` writes it; while it grows it is called `features.zarr.part`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ventralstream.errors import VentralError, reason, unknown
from ventralstream.features import journal
from ventralstream.features.journal import Files, Journal

if TYPE_CHECKING:
    from xarray import DataArray


def open_features(path: str | Path, area: str) -> DataArray:
    """Opens one area's features; values are read from disk when they are used, and compared with their checksums.

    Args:
        path: A store written by `extract`.
        area: Name of an area in it.

    Returns:
        An array with the dimensions stimulus, step, and channel (y, x) or feature. Select by `step`,
        `time_ms` or `stimulus_id`: `features.sel(time_ms=120)`. Its attributes say what the features are of.

    Raises:
        VentralError: There is no finished store, no such area in it (naming the nearest one), or a file of it is not
            there, or not of the size it was written with. When values are read: their file is damaged.
    """
    import xarray

    from ventralstream.features.checked import CheckedStore

    path = Path(path)
    found = _finished(path)
    areas = found.about["request"]["areas"]
    if area not in areas:
        raise unknown("area", area, areas, f" in '{path}'")
    files = found.files
    for problem in missing(path, {key: file for key, file in files.items() if key.partition("/")[0] == area}):
        raise VentralError(f"{problem}, so the features in '{path}' are not whole; extract them again")
    store = CheckedStore(path, read_only=True, files=files)
    try:
        features: DataArray = xarray.open_zarr(store, group=area, chunks=None)["activations"]
        return features.set_xindex("stimulus_id").set_xindex("time_ms")
    except VentralError:
        raise
    except Exception as error:  # whatever readers of damaged metadata raise
        raise VentralError(f"'{path}' cannot be opened: {reason(error)}") from None


def stored_areas(path: str | Path) -> tuple[str, ...]:
    """The areas in a finished store.

    Raises:
        VentralError: There is no finished store.
    """
    return tuple(_finished(Path(path)).about["request"]["areas"])


def verify(path: str | Path) -> None:
    """Reads a finished store from beginning to end and compares it with its checksums.

    Raises:
        VentralError: There is no finished store, or files of it are missing or damaged: how many, and the first.
    """
    path = Path(path)
    problems = list(damaged(path, _finished(path).files).values())
    if problems:
        raise VentralError(f"'{path}' is not whole: {len(problems)} of its files are not, e.g. {problems[0]}")


def missing(folder: Path, files: Files) -> Iterator[str]:
    """What is wrong with files at first sight: those that are not there, or have another size than when written."""
    for key, (size, _) in files.items():
        file = folder / key
        try:
            there = file.stat().st_size if file.is_file() else None
        except OSError:
            there = None
        if there is None:
            yield f"'{file}' is missing"
        elif there != size:
            yield f"'{file}' has {there} bytes where {size} were written"


def damaged(folder: Path, files: Files) -> dict[str, str]:
    """What is wrong with files, by their keys: all are read."""
    found = {}
    for key, (size, crc) in files.items():
        for problem in missing(folder, {key: (size, crc)}):
            found[key] = problem
        if key in found:
            continue
        try:
            with (folder / key).open("rb") as file:
                actual = 0
                while part := file.read(2**24):
                    actual = zlib.crc32(part, actual)
        except OSError as error:
            found[key] = f"'{folder / key}' cannot be read: {reason(error)}"
            continue
        if actual != crc:
            found[key] = f"'{folder / key}' is damaged: it is not what was written"
    return found


def older_format(path: Path) -> str | None:
    """The format of a store without a journal, from before there was one; None if it is none."""
    try:
        name = json.loads((path / "zarr.json").read_text())["attributes"]["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and name.startswith("ventralstream features ") else None


def _finished(path: Path) -> Journal:
    found = journal.read(path)
    if found is None:
        older = older_format(path)
        if older not in (None, journal.FORMAT):
            raise journal.other_version(path, older)
        if older is not None:
            raise VentralError(f"'{path / journal.NAME}' is missing, so the features in '{path}' are not whole")
        raise VentralError(f"'{path}' holds no features; expected a folder written by 'extract'")
    if not found.complete:
        raise VentralError(
            f"the features in '{path}' are not finished, or their journal is damaged; run the extraction again"
        )
    return found
