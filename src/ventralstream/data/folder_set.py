"""Sets of labelled images that are decoded from files whenever they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from ventralstream.data.augment import USUAL, Augment
from ventralstream.data.folder import Preprocessing
from ventralstream.data.image_file import open_image
from ventralstream.data.listing import Fingerprint, fingerprint
from ventralstream.data.source import SetInfo, Share
from ventralstream.data.views import part_of
from ventralstream.data.workers import Workers
from ventralstream.errors import VentralError


@dataclass(frozen=True)
class FolderSet:
    """A set of image files, decoded whenever they are read.

    Attributes:
        info: What it is.
        folder: The folder of class folders.
        ids: The images' paths relative to it.
        labels: `[N]`, int64.
        passed_over: What lies in the folder and is no image of the set, in a sentence; "" if there is nothing.
        augment: What training does to its images unless told otherwise.
        faster: What makes them come faster.
    """

    info: SetInfo
    folder: Path
    ids: tuple[str, ...]
    labels: Tensor
    passed_over: str = ""
    augment: Augment = USUAL["folder"]
    faster: ClassVar[str] = "more --workers, or `ventral data pack`"

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    @property
    def preprocessing(self) -> Preprocessing:
        """Size, cut and normalisation."""
        return self.info.preprocessing

    def select(self, rows: Tensor) -> Self:
        """Some of its images, in the order of `rows`."""
        return replace(self, ids=tuple(self.ids[row] for row in rows.tolist()), labels=self.labels[rows])

    def to(self, device: torch.device) -> Self:
        """The same set: it holds nothing on a device."""
        return self

    def fingerprint(self) -> Fingerprint:
        """By what one knows, when training goes on, that the images are still the same."""
        return fingerprint(self.folder, self.ids)

    def reader(self, augment: Augment | None, workers: int, device: torch.device) -> FileReader:
        """What reads it, as `ventralstream.data.source.Source` says."""
        return FileReader(self, augment, workers, device.type == "cuda")


class FileReader:
    """Reads a set of files, in processes."""

    def __init__(self, data: FolderSet, augment: Augment | None, workers: int, pin: bool) -> None:
        self.labels, size = data.labels, data.preprocessing.size
        empty = torch.empty((0, data.preprocessing.channels, size, size), dtype=torch.uint8)
        self.workers = Workers(partial(_read_file, data, augment), partial(_stacked, empty), workers, pin)

    def read(self, shares: Sequence[Share]) -> Iterator[tuple[Tensor, Tensor]]:
        """Reads batches of images as `ventralstream.data.source.Reader` says."""
        items = (list(zip(share.rows.tolist(), share.box.tolist(), strict=True)) for share in shares)
        for share, images in zip(shares, self.workers.read(items), strict=True):
            yield images, self.labels[share.rows]

    def close(self) -> None:
        """Ends the processes."""
        self.workers.close()


def _read_file(data: FolderSet, augment: Augment | None, which: tuple[int, list[float]]) -> Tensor:
    row, box = which
    path = data.folder / data.ids[row]
    try:
        return _decoded(path, data.preprocessing, augment, box)
    except VentralError as error:
        raise VentralError(f"{error} `ventral data pack` makes a set without such files, and lists them.") from None


def _decoded(path: Path, preprocessing: Preprocessing, augment: Augment | None, box: list[float]) -> Tensor:
    if augment is None or augment.part == 1:
        return preprocessing.read(path)
    image = open_image(path, preprocessing.channels)
    top, left, height, width = part_of((image.height, image.width), augment, np.array(box)).tolist()
    edges = (left, top, min(left + width, image.width), min(top + height, image.height))
    part = image.resize((preprocessing.size,) * 2, Image.Resampling.BILINEAR, box=edges)
    pixels: Tensor = V.pil_to_tensor(part)
    return pixels


def _stacked(empty: Tensor, images: list[Tensor]) -> Tensor:
    return torch.stack(images) if images else empty
