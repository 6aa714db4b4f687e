"""Images in memory with their ids, as data sets bring them."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ventralstream.data.image_file import EXTENSIONS, decode_image
from ventralstream.data.listing import is_hidden, normal
from ventralstream.errors import VentralError, printable, reason, unknown
from ventralstream.files import why_no_file


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
        """Some of the images, in the order of `ids` and under these names, in whichever normal form of Unicode.

        Raises:
            VentralError: for an unknown id, naming the nearest.
        """
        position = {normal(id_): i for i, id_ in enumerate(self.ids)}
        for id_ in ids:
            if normal(id_) not in position:
                raise unknown("stimulus", id_, self.ids)
        return Stimuli(tuple(ids), self.pixels[[position[normal(id_)] for id_ in ids]])


def names_in_zip(path: str | Path) -> tuple[str, ...]:
    """The names of the images in a zip archive, sorted, in Unicode's normal form NFC.

    Hidden files (`__MACOSX`, `.DS_Store`) and files whose endings are no image's are not among them; a file without an
    ending is.

    Raises:
        VentralError: It cannot be read, or two files in it have one name.
    """
    return tuple(_members(path))


def read_zip(path: str | Path) -> Stimuli:
    """Reads the images of a zip archive, all of one size.

    Args:
        path: The archive.

    Returns:
        The images in colour; their ids are those of `names_in_zip`.

    Raises:
        VentralError: It cannot be read, or the images differ in size.
    """
    members = _members(path)
    images: list[NDArray[np.uint8]] = []
    with _reading(path) as archive:
        for name, member in members.items():
            with archive.open(member) as file:
                images.append(np.asarray(decode_image(cast(BinaryIO, file), 3, f"{path}/{name}")))
    sizes = {image.shape for image in images}
    if len(sizes) != 1:
        raise VentralError(f"'{printable(path)}' holds images of {len(sizes)} sizes; expected images, all of one size")
    return Stimuli(tuple(members), np.stack(images))


def _members(path: str | Path) -> dict[str, str]:
    """The images of an archive: their names in it, by their stimulus ids."""
    with _reading(path) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and _is_image(n)]
    ids = [normal(name) for name in names]
    if twice := [id_ for id_, count in Counter(ids).items() if count > 1]:
        raise VentralError(f"two files in '{printable(path)}' are called '{printable(twice[0])}'")
    return dict(sorted(zip(ids, names, strict=True)))


def _is_image(name: str) -> bool:
    parts = name.split("/")
    ending = Path(name).suffix.lower()
    return not any(map(is_hidden, parts)) and (not ending or ending in EXTENSIONS)


@contextmanager
def _reading(path: str | Path) -> Iterator[zipfile.ZipFile]:
    if why := why_no_file(path):
        raise VentralError(f"'{printable(path)}' cannot be read as a zip archive: {why}")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except VentralError:
        raise
    # an archive that is damaged, encrypted, or compressed in a way of its own
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise VentralError(f"'{printable(path)}' cannot be read as a zip archive: {reason(error)}") from None
