"""Object solution times of Kar et al. 2019 as their authors publish them: one HDF5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.arrays import as_floats, as_names
from ventralstream.brain.recordings.datasets.files import Source
from ventralstream.brain.recordings.hdf5 import column, is_hdf5, opened
from ventralstream.data.stimuli import Stimuli
from ventralstream.errors import VentralError

SOURCE = Source(
    "the image metrics of Kar et al. 2019",
    "image_metrics",
    "https://github.com/kohitij-kar/image_metrics (https://doi.org/10.1038/s41593-019-0392-5)",
)
NEEDED = ("i1", "ost", "obj")
OBJECTS = ("bear", "elephant", "person", "car", "dog", "apple", "chair", "plane", "bird", "zebra")  # obj 1 to 10


def is_image_metrics(path: str | Path) -> bool:
    """Whether a file is laid out as `image_metrics` reads it."""
    if not is_hdf5(path):
        return False
    with opened(path) as file:
        return all(isinstance(file.get(name), h5py.Dataset) for name in NEEDED)


def image_metrics(path: str | Path) -> DataArray:
    """Reads the authors' own file of solution times (`dataset.h5` of their repository image_metrics).

    Args:
        path: The file: `ost` (ms), `i1` and `obj` have a value for each image; `images` are names, or the pictures.

    Returns:
        [presentation] solution times of monkey IT in ms, NaN where it never solves the image (published as NaN or
        infinite), with `stimulus_id`, `i1` (the monkeys' behaviour) and `object_name`, as `ost_consistency` takes them.
        Images without names are called "image0001" and on, in the file's order, as `image_metrics_images` calls them.

    Raises:
        VentralError: It is not there, not HDF5, or not laid out so.
    """
    with opened(path) as file:
        absent = [name for name in NEEDED if not isinstance(file.get(name), h5py.Dataset)]
        if absent:
            raise VentralError(f"'{path}' has no dataset '{absent[0]}'; expected {SOURCE}")
        times, i1 = (as_floats(column(file[name]), f"'{name}'").astype(np.float64) for name in ("ost", "i1"))
        objects = _objects(as_names(column(file["obj"]), "images have no object"))
        if not len(times) == len(i1) == len(objects):
            raise VentralError(f"'{path}' has {len(times)} solution times, {len(i1)} I1 and {len(objects)} objects")
        ids = _ids(file, len(times), path)
    times[np.isinf(times)] = np.nan
    coords = {"stimulus_id": ids, "i1": i1, "object_name": objects}
    return DataArray(times, dims="presentation", coords={k: ("presentation", v) for k, v in coords.items()})


def image_metrics_images(path: str | Path) -> Stimuli | None:
    """The pictures in the authors' file; None if it only names them."""
    with opened(path) as file:
        pixels = _pixels(file)
        if pixels is None:
            return None
        return Stimuli(tuple(_numbered(len(pixels))), pixels)


def _objects(names: NDArray[Any]) -> NDArray[Any]:
    """The authors' objects are numbers from 1; their repository says of what."""
    table = {str(i): name for i, name in enumerate(OBJECTS, 1)}
    return np.array([table[n] for n in names]) if set(names) <= set(table) else names


def _of_matlab(file: h5py.File) -> bool:
    """Whether MATLAB wrote it: its arrays have their axes in reverse, so that a column of n numbers is 1 x n."""
    named = any("MATLAB_class" in file[name].attrs for name in (*NEEDED, "images") if name in file)
    return named or (file["ost"].ndim == 2 and file["ost"].shape[0] == 1)


def _ids(file: h5py.File, count: int, path: str | Path) -> NDArray[Any]:
    images = file.get("images")
    if isinstance(images, h5py.Dataset) and _are_pictures(images):
        found = len(_pixels_of(images, _of_matlab(file)))
    elif isinstance(images, h5py.Dataset):
        names = as_names(column(images), "images have no name")
        if len(names) == count:
            return names
        found = len(names)
    else:
        found = count
    if found != count:
        raise VentralError(f"'{path}' has {found} images and {count} solution times")
    return np.array(_numbered(count))


def _numbered(count: int) -> list[str]:
    return [f"image{i + 1:04}" for i in range(count)]


def _are_pictures(images: h5py.Dataset) -> bool:
    return images.ndim >= 3 and images.dtype.kind in "uif"


def _pixels(file: h5py.File) -> NDArray[np.uint8] | None:
    images = file.get("images")
    return _pixels_of(images, _of_matlab(file)) if isinstance(images, h5py.Dataset) and _are_pictures(images) else None


def _pixels_of(images: h5py.Dataset, of_matlab: bool) -> NDArray[np.uint8]:
    """[image, height, width(, 3)] of whatever order the file has; MATLAB's arrays come with their axes reversed."""
    values = images[()]
    if of_matlab:
        values = np.moveaxis(values.T, -1, 0) if values.ndim > 2 else values.T
    if values.ndim == 4 and values.shape[-1] not in (1, 3) and values.shape[1] in (1, 3):
        values = np.moveaxis(values, 1, -1)
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (3, 4) or (values.ndim == 4 and values.shape[-1] != 3):
        raise VentralError(f"the images are of shape {list(images.shape)}; expected [image, height, width, 3]")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
            raise VentralError("the images hold values outside 0 to 255 (or 0 to 1)")
        values = np.round(values * (255 if values.max() <= 1 else 1))
    return np.ascontiguousarray(values.astype(np.uint8))
