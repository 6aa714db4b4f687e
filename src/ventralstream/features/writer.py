"""Writes a store of features batch by batch, and carries on one that was cut off at whatever moment.

Every file is replaced as a whole (zarr writes beside and renames), and a batch's line in the journal comes after its
files. What is carried on is compared with its checksums: from the first batch on of which something is missing, damaged
or newer, all is written again.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from ventralstream.errors import VentralError, reason
from ventralstream.features import journal
from ventralstream.features.axes import Axis
from ventralstream.features.checked import METADATA, CheckedStore
from ventralstream.features.journal import Entry, Journal
from ventralstream.features.store import damaged, missing, older_format
from ventralstream.files import write_text
from ventralstream.jsonable import from_json

CHUNK_BYTES = 16 * 2**20  # of a chunk at most: few files, yet a part can be read
_CONFIG = {"write_empty_chunks": True}  # so that a chunk that is not there is a fault, never data
_ARRAYS = ("activations", "stimulus_id", "step", "time_ms")
_UNFINISHED = (".partial", ".part")  # endings of files that were being written, by zarr and by us
_AGAIN = "start again with resume=False (--no-resume)"


@dataclass(frozen=True)
class Column:
    """What is stored of an area.

    Attributes:
        axis: Its steps.
        attributes: Of its activations; "reduce" among them.
    """

    axis: Axis
    attributes: Mapping[str, Any]


class FeatureWriter:
    """Grows a store of features beside its final place, and renames it when it is complete.

    It is used in a `with` statement: one process at a time writes a store.

    Attributes:
        out: Where the store will be.
        part: Where it grows.
        done: How many stimuli have been dealt with, read or skipped.
        rows: How many of them have been stored.
        skipped: Those that could not be read: {"id": ..., "reason": ...}.
        lost: How many that had been dealt with are to be dealt with again, because of damage.
    """

    def __init__(
        self,
        out: str | Path,
        request: Mapping[str, Any],
        columns: Mapping[str, Column],
        images: int,
        *,
        notes: Mapping[str, Any] | None = None,
        resume: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Begins a store, or takes up an unfinished one.

        Args:
            out: Where the store will be.
            request: What the features depend on ("areas" among it), as JSON-able values: it becomes attributes of the
                store, and must be the same to take up an unfinished store.
            columns: What is stored of each area.
            images: How many stimuli there are.
            notes: Further attributes of the store, which may differ.
            resume: Whether to take up an unfinished store; else it is thrown away.
            overwrite: Whether a finished store at `out` may be replaced, once the new one is complete.

        Raises:
            VentralError: `out` is there already, cannot be written, or is being written by another process; or an
                unfinished store was begun with another request, or cannot be read.
        """
        self.columns, self.images = columns, images
        self.done = self.rows = self.lost = 0
        out = self.part = Path(out)
        with self._writing():
            self.out = out.resolve() if out.is_symlink() else out
            is_there = self.out.exists()
        if not self.out.name or "\0" in self.out.name:
            raise VentralError(f"'{out}' cannot be the name of a new store of features")
        self.part = self.out.with_name(self.out.name + ".part")
        self.skipped: list[dict[str, str]] = []
        self._store = CheckedStore(self.part)
        self._arrays: dict[str, Any] = {}
        self._about = {"request": dict(request), "notes": dict(notes or {})}
        if is_there and not overwrite:
            raise VentralError(f"'{self.out}' is there already; give another name, or overwrite=True (--overwrite)")
        if is_there and not _is_ours(self.out):
            raise VentralError(f"'{self.out}' holds no features of ventralstream, so it is not replaced")
        with self._writing():
            self.part.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.part)
        try:
            found = self._unfinished(resume)
            with self._writing():
                self._take_up(found) if found else self._begin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets others write the store, once nothing writes there any more."""
        self._store.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- what is there already ----------------------------------------------------------------------------------------

    def _unfinished(self, resume: bool) -> Journal | None:
        """The journal that is to be carried on; None to begin."""
        if not _is_ours(self.part):
            raise VentralError(f"'{self.part}' is no unfinished store of features, and in the way; remove it")
        if not resume:
            return None
        try:
            found = journal.read(self.part)
        except VentralError as error:
            raise VentralError(f"{error}; {_AGAIN}") from None
        if found is None and (older := older_format(self.part)) is not None:
            raise VentralError(f"'{self.part / journal.NAME}' is missing (this was begun as '{older}'); {_AGAIN}")
        if found is None or found.done == 0:  # nothing to keep
            return None
        self._check_request(found.about)
        return found

    def _check_request(self, about: Mapping[str, Any]) -> None:
        before, now = about["request"], self._about["request"]
        images = now.get("images_fingerprint")
        if images and before.get("images_fingerprint") not in (None, images):
            old, new = (from_json(json.loads(x)) for x in (before["images_fingerprint"], images))
            if change := old.difference(new):
                raise VentralError(
                    f"the images have changed since '{self.part}' was begun: {change}; give those again, or {_AGAIN}"
                )
        differing = [key for key, value in now.items() if before.get(key) != value]
        if differing:
            raise VentralError(
                f"the unfinished '{self.part}' was begun by another request (another {', '.join(differing)});"
                f" repeat that one to carry on, or {_AGAIN}"
            )

    def _take_up(self, found: Journal) -> None:
        for area in self.part.iterdir():
            if area.is_dir() and area.name not in (*self.columns, METADATA):
                raise VentralError(f"'{area}' is none of what this extraction writes, and in the way; remove it")
        chunks = {key: value for key, value in found.files.items() if "/activations/c/" in key}
        kept = found.before(damaged(self.part, chunks))
        self.lost = found.done - kept.done
        if kept.done == 0:
            self._begin()
            return
        journal.cut(self.part, kept)
        self.done, self.rows, self.skipped = kept.done, kept.entries[-1].rows, kept.skipped
        for path in [p for p in self.part.rglob("*") if p.name.endswith(_UNFINISHED)]:
            path.unlink()
        files = kept.files
        more = {key: value for key, value in chunks.items() if key in files and files[key] != value}
        if more:  # these hold rows of later batches, too
            journal.add(self.part, Entry(self.done, self.rows, files=more))
        for column in self.columns:
            for name in _ARRAYS:
                _clean(self.part / column / name, self.part, files)
        for key, text in kept.texts.items():  # some change when the store is finished
            if (self.part / key).is_dir():
                shutil.rmtree(self.part / key)
            (self.part / key).parent.mkdir(parents=True, exist_ok=True)
            write_text(self.part / key, text)
        self._store = CheckedStore(self.part, files=files | more)
        self._arrays = {area: self._open(area) for area in self.columns} if self.rows else {}

    def _begin(self) -> None:
        _clear(self.part)
        journal.begin(self.part, self._about)
        self._store = CheckedStore(self.part)
        attributes = {"format": journal.FORMAT, **self._about["request"], **self._about["notes"], "complete": False}
        zarr.create_group(self._store, attributes=attributes, zarr_format=3)
        for area in self.columns:
            zarr.create_group(self._store, path=area, zarr_format=3)
        self._arrays = {}

    # --- what is written ----------------------------------------------------------------------------------------------

    def append(self, values: Mapping[str, NDArray[Any]], skipped: Sequence[tuple[str, str]] = ()) -> None:
        """Stores a batch.

        Args:
            values: Per area [B, T', ...]; empty if none of the batch's images could be read.
            skipped: The (id, reason) of those that could not.

        Raises:
            VentralError: It cannot be written (a full disk, ...).
        """
        read = len(next(iter(values.values()))) if values else 0
        rows = self.rows + read
        left_out = [{"id": i, "reason": r} for i, r in skipped]
        entry = Entry(self.done + read + len(left_out), rows, left_out)
        with self._writing():
            for area, value in values.items():
                if area not in self._arrays:
                    self._arrays[area] = self._create(area, value)
                self._arrays[area][self.rows : rows] = value
            self._note(entry)
        self.done, self.rows = entry.done, rows
        self.skipped += left_out

    def finish(self, ids: Sequence[str]) -> None:
        """Writes the coordinates and puts the store in its place.

        Args:
            ids: The stimulus ids, one for each row.

        Raises:
            VentralError: It cannot be written, or something has been taken from it meanwhile.
        """
        with self._writing():
            root = zarr.open_group(self._store, mode="r+", use_consolidated=False)
            for area, column in self.columns.items():
                self._arrays[area].resize((self.rows, *self._arrays[area].shape[1:]))
                group = root[area]
                names = group.create_array("stimulus_id", shape=len(ids), dtype=str, dimension_names=["stimulus"])
                names[:] = np.array(ids, dtype=object)
                for name, coordinate in (("step", column.axis.steps), ("time_ms", column.axis.times_ms)):
                    group.create_array(name, data=np.array(coordinate), dimension_names=["step"])
            root.update_attributes({"complete": True, "images_done": self.done, "skipped": self.skipped})
            for path in (*self.columns, None):
                with warnings.catch_warnings():  # zarr's: consolidated metadata are not in its specification yet
                    warnings.simplefilter("ignore")
                    zarr.consolidate_metadata(self._store, path=path)
            self._note(Entry(self.done, self.rows, complete=True))
            found = journal.read(self.part)
            assert found is not None
            for problem in missing(self.part, found.files):
                raise VentralError(f"{problem}; the same request will carry on")
            replaced = self.out.with_name(self.out.name + ".replaced")
            if self.out.exists():
                _remove(replaced)
                self.out.replace(replaced)
            self.part.replace(self.out)
            _remove(replaced)

    def discard(self) -> None:
        """Throws the unfinished store away."""
        _remove(self.part)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, VentralError):
                raise
            later = "; the same request will carry on" if self.done else ""
            raise VentralError(f"cannot write '{self.part}': {reason(error)}{later}") from None

    def _note(self, entry: Entry) -> None:
        texts = {} if entry.complete else dict(self._store.texts)
        journal.add(self.part, replace(entry, files=dict(self._store.written), texts=texts))
        self._store.written.clear()
        self._store.texts.clear()

    def _open(self, area: str) -> Any:
        return zarr.open_array(self._store, path=f"{area}/activations", mode="r+", config=_CONFIG)

    def _create(self, area: str, value: NDArray[Any]) -> Any:
        column = self.columns[area]
        zarr.create_array(
            self._store,
            name=f"{area}/activations",
            shape=(self.images, *value.shape[1:]),  # rows that are skipped are cut off in the end
            chunks=_chunks(value),
            dtype=value.dtype,
            fill_value=float("nan"),
            dimension_names=_dimensions(value.ndim, column.attributes["reduce"]),
            attributes={"coordinates": "stimulus_id time_ms", "area": area, **column.attributes},
        )
        return self._open(area)


def _is_ours(folder: Path) -> bool:
    """Whether a folder is a store of features, or what one is in the moment before its journal is there."""
    if not folder.is_dir():
        return False
    if (folder / journal.NAME).exists() or older_format(folder) is not None:
        return True
    return all(file.name.endswith(_UNFINISHED) for file in folder.iterdir())


def _clean(folder: Path, root: Path, files: Mapping[str, Any]) -> None:
    """Deletes what is in a folder of a store and none of its files: of a batch that was not completed."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.is_symlink() or (path.exists() and path.relative_to(root).as_posix() not in files):
            path.unlink()


def _clear(folder: Path) -> None:
    """Empties a store but for its journal, which is made to say so first: nobody carries on what is half deleted.

    Raises:
        VentralError: There is something else in it.
    """
    journal.forget(folder)
    for path in folder.iterdir():
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and (path.name in (METADATA, journal.NAME) or _is_area(path)):
            shutil.rmtree(path)
        elif path.is_file() and (path.name == METADATA or path.name.endswith(_UNFINISHED)):
            path.unlink()
        elif path.name != journal.NAME:
            raise VentralError(f"'{path}' is none of what an extraction writes, and in the way; remove it")


def _is_area(folder: Path) -> bool:
    """Whether a folder is an area's, perhaps half written or half deleted."""
    return all(path.name in (METADATA, *_ARRAYS) or path.name.endswith(_UNFINISHED) for path in folder.iterdir())


def _remove(folder: Path) -> None:
    """Deletes a store, if there is one."""
    if _is_ours(folder):
        _clear(folder)
        shutil.rmtree(folder)


def _locked(folder: Path) -> int | None:
    """Claims a folder for this process, until what is given is closed; None where there are no such claims."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    claim = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(claim)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise VentralError(f"another process is writing '{folder}'; let it finish, or give another name") from None
        return None
    if not folder.exists() or os.fstat(claim).st_ino != folder.stat().st_ino:
        os.close(claim)
        raise VentralError(f"another process has just finished '{folder}'")
    return claim


def _dimensions(ndim: int, reduce: str) -> tuple[str, ...]:
    if ndim == 5:
        return ("stimulus", "step", "channel", "y", "x")
    return ("stimulus", "step", "feature" if reduce == "flatten" else "channel")


def _chunks(value: NDArray[Any]) -> tuple[int, ...]:
    """Up to a batch of images and all steps: fewer steps, then fewer images, where that is too much."""
    batch, steps, *rest = value.shape
    image = math.prod(rest) * value.itemsize
    rows = max(1, min(batch, CHUNK_BYTES // image))
    return (rows, max(1, min(steps, CHUNK_BYTES // (rows * image))), *rest)
