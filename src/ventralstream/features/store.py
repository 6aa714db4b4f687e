"""Features on disk: a zarr group with a subgroup for each area, grown batch by batch and opened with xarray.

    features.zarr/       provenance and the files skipped, as attributes
      conv5/
        activations      [stimulus, step, channel, y, x]; reduced: [stimulus, step, channel or feature]
        stimulus_id, step, time_ms

While it grows it is called `features.zarr.part`. Every file in it is replaced as a whole (zarr writes beside
and renames), and its attribute `images_done` is written after a batch's activations: whatever has been
written beyond that is written again when the work is taken up.
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ventralstream.errors import VentralError, unknown

if TYPE_CHECKING:
    from xarray import DataArray

FORMAT = "ventralstream features 1"
CHUNK_BYTES = 16 * 2**20  # of a chunk at most: few files, yet a part can be read
_CONFIG = {"write_empty_chunks": True}  # so that a chunk that is not there is a fault, never data


@dataclass(frozen=True)
class AreaAxis:
    """What is recorded of an area over time.

    Attributes:
        steps: The recorded steps.
        times_ms: Their times in milliseconds.
        first_step: The first step at which the image drives the area.
    """

    steps: tuple[int, ...]
    times_ms: tuple[float, ...]
    first_step: int


class FeatureWriter:
    """Grows a store of features beside its final place, and renames it when it is complete.

    Attributes:
        out: Where the store will be.
        part: Where it grows.
        images_done: How many files of the folder have been dealt with, read or skipped.
        skipped: The files that could not be read: {"id": ..., "reason": ...}.
    """

    def __init__(
        self,
        out: str | Path,
        request: Mapping[str, Any],
        areas: Mapping[str, AreaAxis],
        *,
        notes: Mapping[str, Any] | None = None,
        resume: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Begins a store, or takes up an unfinished one.

        Args:
            out: Where the store will be.
            request: What the features depend on ("areas" and "reduce" among it), as JSON-able values: it
                becomes attributes of the store and of each area's activations, and must be the same to take
                up an unfinished store.
            areas: What is recorded.
            notes: Further attributes of the store, which may differ.
            resume: Whether to take up an unfinished store; else it is thrown away.
            overwrite: Whether a finished store at `out` may be replaced, once the new one is complete.

        Raises:
            VentralError: `out` is there already, or an unfinished store was begun with another request.
        """
        out = Path(out)
        self.out = out.resolve() if out.is_symlink() else out
        if not self.out.name:
            raise VentralError(f"'{out}' cannot be the name of a new store of features")
        self.part = self.out.with_name(self.out.name + ".part")
        self.request, self.areas = dict(request), dict(areas)
        self.images_done = 0
        self.skipped: list[dict[str, str]] = []
        self._arrays: dict[str, Any] = {}
        if self.out.exists() and not overwrite:
            raise VentralError(f"'{self.out}' is there already; give another name, or overwrite=True (--overwrite)")
        if self.out.exists() and not _attributes(self.out):
            raise VentralError(f"'{self.out}' holds no features of ventralstream, so it is not replaced")
        if self.part.exists():
            self._take_up(resume)
        if self.images_done == 0:
            self._begin(dict(notes or {}))
        self._root = zarr.open_group(self.part, mode="r+", use_consolidated=False)

    @property
    def rows(self) -> int:
        """How many images have been stored."""
        return self.images_done - len(self.skipped)

    def _begin(self, notes: dict[str, Any]) -> None:
        try:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            progress = {"complete": False, "images_done": 0, "skipped": []}
            attributes = {"format": FORMAT, **self.request, **notes, **progress}
            zarr.create_group(self.part, attributes=attributes, zarr_format=3)
        except OSError as error:
            raise VentralError(f"cannot write '{self.part}': {error.strerror or error}") from None

    def _take_up(self, resume: bool) -> None:
        attributes = _attributes(self.part)
        if not attributes and not _is_newborn(self.part):
            raise VentralError(f"'{self.part}' is no unfinished store of features, and in the way; remove it")
        if not resume or not attributes.get("images_done"):  # nothing to keep
            _remove(self.part)
            return
        differing = [key for key, value in self.request.items() if attributes.get(key) != value]
        if differing:
            raise VentralError(
                f"the unfinished '{self.part}' was begun by another request (another {', '.join(differing)});"
                " repeat that one to carry on, or start again with resume=False (--no-resume)"
            )
        self.images_done, self.skipped = attributes["images_done"], list(attributes["skipped"])
        for leftover in self.part.rglob("*.partial"):  # of a write that was cut off
            leftover.unlink()
        if self.rows:
            for area in self.areas:
                if not (self.part / area / "activations" / "zarr.json").is_file():
                    raise self._missing(area)
                array = self._open(area)
                array.resize((self.rows, *array.shape[1:]))
                self._arrays[area] = array

    def append(self, values: Mapping[str, NDArray[Any]], skipped: Sequence[tuple[str, str]] = ()) -> None:
        """Stores a batch.

        Args:
            values: Per area [B, T', ...]; empty if none of the batch's images could be read.
            skipped: The (id, reason) of those that could not.

        Raises:
            VentralError: It cannot be written (a full disk, ...).
        """
        read = len(next(iter(values.values()))) if values else 0
        rows, skipped_so_far = self.rows, [*self.skipped, *({"id": i, "reason": r} for i, r in skipped)]
        done = self.images_done + read + len(skipped)
        try:
            for area, value in values.items():
                if rows == 0:
                    self._arrays[area] = self._create(area, value)
                array = self._arrays[area]
                array.resize((rows + read, *value.shape[1:]))
                array[rows : rows + read] = value
            self._root = self._root.update_attributes({"images_done": done, "skipped": skipped_so_far})
        except OSError as error:
            raise VentralError(
                f"cannot write '{self.part}': {error.strerror or error}; the same request will carry on"
            ) from None
        self.images_done, self.skipped = done, skipped_so_far

    def finish(self, ids: Sequence[str]) -> None:
        """Writes the coordinates and puts the store in its place.

        Args:
            ids: The stimulus ids, one per image stored.
        """
        for area, axis in self.areas.items():
            array = self._arrays[area]
            if array.shape[0] != len(ids) or array.nchunks_initialized != array.nchunks:
                raise self._missing(area)
            group = self._root[area]
            names = group.create_array(
                "stimulus_id", shape=len(ids), dtype=str, dimension_names=["stimulus"], overwrite=True
            )
            names[:] = np.array(ids, dtype=object)
            for name, coordinate in (("step", axis.steps), ("time_ms", axis.times_ms)):
                group.create_array(name, data=np.array(coordinate), dimension_names=["step"], overwrite=True)
        self._root.update_attributes({"complete": True})
        for path in (*self.areas, None):
            with warnings.catch_warnings():  # zarr's: consolidated metadata are not in its specification yet
                warnings.simplefilter("ignore")
                zarr.consolidate_metadata(self.part, path=path)
        replaced = self.out.with_name(self.out.name + ".replaced")
        if self.out.exists():
            _remove(replaced)
            self.out.replace(replaced)
        self.part.replace(self.out)
        _remove(replaced)

    def discard(self) -> None:
        """Throws the unfinished store away."""
        _remove(self.part)

    def _missing(self, area: str) -> VentralError:
        return VentralError(
            f"parts of area '{area}' are missing from '{self.part}'; start again with resume=False (--no-resume)"
        )

    def _open(self, area: str) -> Any:
        return zarr.open_array(self.part, path=f"{area}/activations", mode="r+", config=_CONFIG)

    def _create(self, area: str, value: NDArray[Any]) -> Any:
        axis = self.areas[area]
        group = self._root.require_group(area)
        group.create_array(
            "activations",
            shape=(0, *value.shape[1:]),
            chunks=_chunks(value),
            dtype=value.dtype,
            fill_value=float("nan"),
            dimension_names=_dimensions(value.ndim, self.request["reduce"]),
            attributes={
                "coordinates": "stimulus_id time_ms",
                "area": area,
                "first_step": axis.first_step,
                **{k: v for k, v in self.request.items() if k != "areas"},
            },
            overwrite=True,
        )
        return self._open(area)


def open_features(path: str | Path, area: str) -> DataArray:
    """Opens one area's features; values are read from disk when they are used.

    Args:
        path: A store written by `extract`.
        area: Name of an area in it.

    Returns:
        An array with the dimensions stimulus, step, and channel (y, x) or feature. Select by `step`,
        `time_ms` or `stimulus_id`: `features.sel(time_ms=120)`. Its attributes say what the features are of.

    Raises:
        VentralError: There is no finished store, or no such area in it (naming the nearest one).
    """
    import xarray

    attributes = _attributes(Path(path))
    if not attributes:
        raise VentralError(f"'{path}' holds no features; expected a folder written by 'extract'")
    if not attributes["complete"]:
        raise VentralError(f"the features in '{path}' are not finished; run the extraction again to carry on")
    if area not in attributes["areas"]:
        raise unknown("area", area, attributes["areas"], f" in '{path}'")
    features: DataArray = xarray.open_zarr(str(path), group=area, chunks=None)["activations"]
    return features.set_xindex("stimulus_id").set_xindex("time_ms")


def _attributes(path: Path) -> dict[str, Any]:
    """The attributes of a store of features; empty if it is none."""
    try:
        attributes: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError):
        return {}
    return attributes if attributes.get("format") == FORMAT else {}


def _is_newborn(path: Path) -> bool:
    """Whether a folder is what a store is in the moment before its attributes are there."""
    return path.is_dir() and all(p.match("zarr.*.partial") for p in path.iterdir())


def _remove(path: Path) -> None:
    """Deletes a store, if there is one; half deleted it is still known as one, but nobody carries it on."""
    if _attributes(path):
        root = zarr.open_group(path, mode="r+", use_consolidated=False)
        root.update_attributes({"complete": False, "images_done": 0})
        for area in (p for p in path.iterdir() if p.is_dir()):
            shutil.rmtree(area)
    elif not _is_newborn(path):
        return
    shutil.rmtree(path)


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
