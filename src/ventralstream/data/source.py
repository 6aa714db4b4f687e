"""A set of labelled images: what a model has to know of it, and what a `Loader` needs of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ventralstream.data.augment import Augment
from ventralstream.data.folder import Preprocessing
from ventralstream.jsonable import Spec, tagged


@tagged("image_set")
@dataclass(frozen=True)
class SetInfo(Spec):
    """What a model has to know of the set it is trained on.

    Attributes:
        name: Name of the set.
        classes: The names of the classes, in the order of the labels.
        preprocessing: Size, channels, mean and standard deviation of its images; other images are read with
            it to show them to a model that was trained on this set.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


class Share(NamedTuple):
    """The images of a batch that one process works on.

    Attributes:
        rows: Which of the set, `[B]`, int64, on the CPU.
        box: Of their views, `[B, 4]`; see `ventralstream.data.views`.
    """

    rows: Tensor
    box: Tensor


class Reader(Protocol):
    """What reads the images of a set, epoch after epoch."""

    def read(self, shares: Sequence[Share]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 `[B, C, H, W]` and labels int64 `[B]` of each share; on the set's device, or on the CPU."""

    def close(self) -> None:
        """Ends what it keeps running; it may be read from again."""


class Source(Protocol):
    """A set of labelled images."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How its pixels are normalised."""

    @property
    def augment(self) -> Augment:
        """What training does to its images unless told otherwise."""

    @property
    def faster(self) -> str:
        """What makes its images come faster, in words; "" if nothing does."""

    def __len__(self) -> int:
        """Number of images."""

    def to(self, device: torch.device) -> Source:
        """The same set, with what it holds in memory on a device, if that is worth it."""

    def reader(self, augment: Augment | None, workers: int, device: torch.device) -> Reader:
        """Makes what reads it.

        Args:
            augment: Of which the reader does `part`; None for none.
            workers: Number of processes (or threads) that read ahead, for a set on disk.
            device: Where the images are wanted; a reader need not move them, but may make that fast.
        """
