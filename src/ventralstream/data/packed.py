"""Packed sets: the images of a folder, resized, in one file that is mapped into memory.

    header.json     what it holds (`Header`)
    SHA256SUMS      of all other files, as `sha256sum -c SHA256SUMS` reads them
    train/images.npy    uint8 [N, channels, size, size]
    train/labels.npy    int64 [N]: which of the header's classes each image is
    train/ids.txt       the path that each image had, one a line
    train/skipped.txt   the images that could not be read: path, a tab and why; empty if all could
    val/...             the same

NumPy reads it: `np.load("train/images.npy", mmap_mode="r")`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from ventralstream.data.augment import USUAL, Augment
from ventralstream.data.folder import Preprocessing
from ventralstream.data.listing import Fingerprint
from ventralstream.data.memory import ArraySet, MemoryReader, MemorySet, fits_on
from ventralstream.data.source import SetInfo
from ventralstream.errors import VentralError, printable, reason
from ventralstream.files import why_no_file, write_text
from ventralstream.jsonable import Spec, from_json, parse_json, tagged
from ventralstream.progress import Progress, stderr_console
from ventralstream.values import Pixels

HEADER, SUMS, UNFINISHED = "header.json", "SHA256SUMS", "unfinished"
IMAGES, LABELS, IDS, SKIPPED = "images.npy", "labels.npy", "ids.txt", "skipped.txt"
SPLITS = ("train", "val")
_BLOCK = 1 << 24  # bytes read at once
CHECKED = 1 << 28  # bytes up to which a file is read as a whole and checked whenever it is opened


@tagged("packed_set")
@dataclass(frozen=True)
class Header(Spec):
    """What a packed set holds.

    Attributes:
        size: Height and width of the images, in pixels.
        resize: How they were made so large; see `Preprocessing`.
        classes: The names of the classes, in the order of the labels.
        train: The images it was made of, to train on; None if there are none.
        val: The same, to validate on.
        channels: 3: red, green, blue.
        version: Of this layout.
    """

    size: Pixels
    resize: Literal["crop", "squash"]
    classes: tuple[str, ...]
    train: Fingerprint | None
    val: Fingerprint | None
    channels: Literal[3] = 3
    version: Literal[1] = 1

    @property
    def preprocessing(self) -> Preprocessing:
        """By which the images were read."""
        return Preprocessing(self.size, resize=self.resize)


@dataclass(frozen=True)
class PackedSet(ArraySet):
    """A set whose images are mapped from a file: what is not in memory is read when it is needed.

    Attributes:
        rows: Which of the file's images are in the set, `[N]`, int64.
        known_by: By what one knows that they are still the same.
        faster: What makes them come faster.
    """

    rows: Tensor
    known_by: Fingerprint
    faster: ClassVar[str] = "more --workers"

    def fingerprint(self) -> Fingerprint:
        """By what one knows, when training goes on, that the images are still the same."""
        return self.known_by

    def select(self, rows: Tensor) -> Self:
        """Some of its images, in the order of `rows`."""
        return replace(self, rows=self.rows[rows], labels=self.labels[rows])

    def to(self, device: torch.device) -> PackedSet | MemorySet:
        """The same set; on a GPU as a whole, if it `ventralstream.data.memory.fits_on` it."""
        if device.type == "cpu" or not fits_on(device, len(self), self.images[0]):
            return self
        return MemorySet(self.info, self.images[self.rows], self.labels, self.augment).to(device)

    def reader(self, augment: Augment | None, workers: int, device: torch.device) -> MemoryReader:
        """What reads it, as `ventralstream.data.source.Source` says."""
        return MemoryReader(self.images, self.labels, self.rows, augment, workers, pin=device.type == "cuda")


def open_packed(folder: str | Path, split: str) -> PackedSet:
    """Opens a packed set; a file of images that is larger than `CHECKED` is not read as a whole.

    Args:
        folder: Where it is.
        split: "train" or "val".

    Raises:
        VentralError: There is none, it lacks the split, or a file of it is damaged.
    """
    folder = Path(folder)
    header = read_header(folder)
    sums = read_sums(folder, header)
    source = header.train if split == "train" else header.val
    if source is None:
        raise VentralError(f"the packed set '{printable(folder)}' has no '{split}': nor had the folder it is made of.")
    names = [f"{split}/{name}" for name in (LABELS, IMAGES)]
    for name in (HEADER, *names):
        if _require_file(folder, name).stat().st_size <= CHECKED:
            _check_sum(folder, name, sums)
    labels, images = (_mapped(folder / name) for name in names)
    shape = (len(images), header.channels, header.size, header.size)
    if images.dtype != np.uint8 or images.shape != shape or labels.dtype != np.int64 or labels.shape != shape[:1]:
        raise VentralError(
            f"'{printable(folder / split)}' holds images {images.dtype} {list(images.shape)} and labels {labels.dtype}"
            f" {list(labels.shape)}; expected uint8 {list(shape)} and int64 {list(shape[:1])}."
        )
    known_by = source.replace(images=len(images), contents_sha256=sums[names[1]])
    info = SetInfo("packed", header.classes, header.preprocessing)
    pixels, numbers = torch.from_numpy(images), torch.from_numpy(np.array(labels))
    return PackedSet(info, pixels, numbers, USUAL["packed"], torch.arange(len(images)), known_by)


def check_packed(folder: str | Path, console: Console | None = None) -> Header:
    """Reads a packed set as a whole, and compares it with its checksums.

    Args:
        folder: Where it is.
        console: Where progress is shown; stderr if None.

    Raises:
        VentralError: There is none, or a file of it is damaged.
    """
    folder = Path(folder)
    header = read_header(folder)
    sums = read_sums(folder, header)
    for name in sums:
        _require_file(folder, name)
    with _watched("checking", [folder / name for name in sums], console or stderr_console()) as progress:
        for name in sums:
            _check_sum(folder, name, sums, progress)
    return header


def read_header(folder: Path) -> Header:
    """Reads what a packed set holds.

    Raises:
        VentralError: There is no packed set.
    """
    where = printable(folder)
    make = f"make one with: ventral data pack FOLDER {where} --size 64"
    if folder.with_name(folder.name + ".part").is_dir() and not folder.exists():
        raise VentralError(f"the packed set '{where}' is unfinished; carry on with the command that began it.")
    if why := why_no_file(folder / HEADER):
        raise VentralError(f"'{where}' is no packed set: '{HEADER}': {why}; {make}.")
    try:
        header = from_json(parse_json((folder / HEADER).read_text(encoding="utf-8"), HEADER))
    except (VentralError, OSError, ValueError) as error:
        raise VentralError(f"'{where}' is no packed set that can be read: {reason(error)}.") from None
    if not isinstance(header, Header):
        raise VentralError(f"'{where}' is no packed set: '{HEADER}' is of something else; {make}.")
    return header


def files_of(header: Header) -> list[str]:
    """The files of a packed set, but for the checksums."""
    splits = [split for split, source in zip(SPLITS, (header.train, header.val), strict=True) if source is not None]
    return [HEADER, *(f"{split}/{name}" for split in splits for name in (IMAGES, LABELS, IDS, SKIPPED))]


def read_sums(folder: Path, header: Header) -> dict[str, str]:
    """The checksums of a packed set, by file.

    Raises:
        VentralError: There are none, or not of all files.
    """
    path = folder / SUMS
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except (OSError, ValueError) as error:
        raise VentralError(f"'{printable(path)}' cannot be read: {reason(error)}.") from None
    sums = {match[2]: match[1] for line in lines if (match := re.fullmatch(r"([0-9a-f]{64})  ([a-z/.]+)", line))}
    if list(sums) != files_of(header) or lines[len(sums) :] != [""]:
        raise VentralError(f"'{printable(path)}' is damaged: expected a checksum of each file and nothing else.")
    return sums


def write_sums(folder: Path, names: Collection[str], console: Console) -> None:
    """Writes the checksums of the files of a packed set."""
    with _watched("checksums", [folder / name for name in names], console) as progress:
        lines = [f"{_sha256(folder / name, progress)}  {name}\n" for name in names]
    write_text(folder / SUMS, "".join(lines))


def _require_file(folder: Path, name: str) -> Path:
    if why := why_no_file(folder / name):
        raise VentralError(f"the packed set '{printable(folder)}' is damaged: '{name}': {why}.")
    return folder / name


def _check_sum(folder: Path, name: str, sums: Mapping[str, str], progress: Progress | None = None) -> None:
    if _sha256(folder / name, progress) != sums[name]:
        raise VentralError(
            f"the packed set '{printable(folder)}' is damaged: '{name}' is not what was packed (its checksum is"
            " another); copy it again, or pack it again."
        )


def _sha256(path: Path, progress: Progress | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if progress is not None:
                progress.update(progress.done + 1)
    return digest.hexdigest()


def _watched(what: str, paths: Iterable[Path], console: Console) -> Progress:
    """Shows how many blocks of these files have been read."""
    return Progress(what, sum(-(-path.stat().st_size // _BLOCK) for path in paths), "blocks of 16 MB", console=console)


def _mapped(path: Path) -> NDArray[Any]:
    """An array in a file, of which only what is asked for is read. Nothing is ever written to it."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:  # also a file that is shorter than its first bytes say
        raise VentralError(f"'{printable(path)}' is damaged: {reason(error)}.") from None
    return array
