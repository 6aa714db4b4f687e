"""Sets of labelled images that are held in memory, of a device if they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from ventralstream.data.augment import Augment
from ventralstream.data.folder import Preprocessing, map_ahead
from ventralstream.data.source import SetInfo, Share
from ventralstream.data.views import part_of, resampled

ON_GPU = 0.25  # a set moves to a GPU as a whole if it takes no more than this part of the GPU's memory


def fits_on(device: torch.device, images: int, image: Tensor) -> bool:
    """Whether so many images like this one are to be held on a device, as all are that is none of CUDA's."""
    return device.type != "cuda" or images * image.nbytes <= ON_GPU * torch.cuda.mem_get_info(device)[1]


@dataclass(frozen=True)
class ArraySet:
    """What sets whose images are one array have in common.

    Attributes:
        info: What it is.
        images: `[M, C, H, W]`, uint8.
        labels: `[N]`, int64.
        augment: What training does to its images unless told otherwise.
        passed_over: "": there is nothing beside the images.
    """

    info: SetInfo
    images: Tensor
    labels: Tensor
    augment: Augment
    passed_over: ClassVar[str] = ""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def preprocessing(self) -> Preprocessing:
        """How the pixels are normalised."""
        return self.info.preprocessing


class MemorySet(ArraySet):
    """A set held in memory as a whole: an image for each label.

    Attributes:
        faster: "": nothing makes them come faster.
    """

    faster: ClassVar[str] = ""

    def fingerprint(self) -> None:
        """None: what is held in memory was checked when it was loaded."""

    def select(self, rows: Tensor) -> Self:
        """Some of its images, in the order of `rows`."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def to(self, device: torch.device) -> Self:
        """The same set on a device, as a whole, if it `fits_on` it."""
        if not fits_on(device, len(self), self.images[0]):
            return self
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def reader(self, augment: Augment | None, workers: int, device: torch.device) -> MemoryReader:
        """What reads it, as `ventralstream.data.source.Source` says; threads only if it is not where it is wanted."""
        away = self.images.device.type != device.type
        return MemoryReader(self.images, self.labels, None, augment, workers if away else 0, pin=away)


class MemoryReader:
    """Reads a set in memory.

    Args:
        images: `[M, C, H, W]`, uint8.
        labels: `[N]`, int64.
        rows: Of the set's N images, which of the M each is, `[N]`; None if they are the same.
        augment: Of which `part` is done here.
        threads: How many read ahead, each a batch; with 0 a batch is read when it is asked for.
        pin: Whether batches come in pinned memory, from which a GPU copies them while it works.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, rows: Tensor | None, augment: Augment | None, threads: int, pin: bool
    ) -> None:
        self.images, self.labels, self.rows = images, labels, rows
        self.augment, self.threads, self.pin = augment, threads, pin

    def read(self, shares: Sequence[Share]) -> Iterator[tuple[Tensor, Tensor]]:
        """Reads batches of images as `ventralstream.data.source.Reader` says."""
        rows = torch.cat([torch.empty(0, dtype=torch.int64), *(share.rows for share in shares)])
        rows = rows.to(self.labels.device)  # once: a copy for each batch would wait for the device
        there = torch.split(rows, [len(share.rows) for share in shares])
        yield from map_ahead(self._batch, zip(shares, there, strict=True), self.threads, self.threads)

    def _batch(self, which: tuple[Share, Tensor]) -> tuple[Tensor, Tensor]:
        share, rows = which
        labels = self.labels.index_select(0, rows)
        images = self.images.index_select(0, rows if self.rows is None else self.rows[rows])
        if self.augment is not None and self.augment.part < 1:
            parts = part_of((images.shape[2], images.shape[3]), self.augment, share.box.numpy())
            images = resampled(images, torch.from_numpy(parts))
        return (images.pin_memory(), labels.pin_memory()) if self.pin else (images, labels)

    def close(self) -> None:
        """Does nothing: its threads end with each reading."""
