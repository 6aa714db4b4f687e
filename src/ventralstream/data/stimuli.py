"""Images in memory with their ids, as data sets bring them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ventralstream.errors import VentralError, unknown


@dataclass(frozen=True, eq=False)
class Stimuli:
    """Images of one size.

    Attributes:
        ids: Their stimulus ids.
        pixels: uint8, [image, height, width, 3], or [image, height, width] if they are grey.
    """

    ids: tuple[str, ...]
    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            raise VentralError(
                "stimuli are uint8 [image, height, width, 3], or [image, height, width] if they are grey;"
                f" got {self.pixels.dtype} of shape {list(shape)}"
            )
        if len(self.ids) != shape[0] or len(set(self.ids)) != len(self.ids):
            raise VentralError(f"{shape[0]} images need as many different stimulus ids; got {len(set(self.ids))}")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, ids: Sequence[str]) -> Stimuli:
        """Some of the images, in the order of `ids`.

        Raises:
            VentralError: for an unknown id, naming the nearest.
        """
        position = {id_: i for i, id_ in enumerate(self.ids)}
        for id_ in ids:
            if id_ not in position:
                raise unknown("stimulus", id_, self.ids)
        return Stimuli(tuple(ids), self.pixels[[position[id_] for id_ in ids]])


def names_in_zip(path: str | Path) -> tuple[str, ...]:
    """The names of the files in a zip archive, sorted; without hidden ones, such as macOS puts into archives.

    Raises:
        VentralError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            hidden = ("__MACOSX", ".")
            names = (n for n in archive.namelist() if not n.endswith("/"))
            return tuple(sorted(n for n in names if not any(part.startswith(hidden) for part in n.split("/"))))
    except (OSError, zipfile.BadZipFile) as error:
        raise VentralError(f"'{path}' cannot be read as a zip archive: {error}") from None


def read_zip(path: str | Path) -> Stimuli:
    """Reads the images of a zip archive, all of one size.

    Args:
        path: The archive; everything in it is an image.

    Returns:
        The images in colour; their ids are their names in the archive, sorted.

    Raises:
        VentralError: It cannot be read, or the images differ in size.
    """
    names = names_in_zip(path)
    try:
        with zipfile.ZipFile(path) as archive:
            images = [np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names]
    except (OSError, zipfile.BadZipFile) as error:  # among them UnidentifiedImageError
        raise VentralError(f"the images in '{path}' cannot be read: {error}") from None
    sizes = {image.shape for image in images}
    if len(sizes) != 1:
        raise VentralError(f"'{path}' holds images of {len(sizes)} sizes; expected images, all of one size")
    return Stimuli(names, np.stack(images))
