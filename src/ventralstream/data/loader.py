"""Batches of a labelled set, such that an interrupted epoch goes on exactly where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor

from ventralstream.data.folder import Preprocessing
from ventralstream.data.pixels import generator
from ventralstream.errors import VentralError


class Source(Protocol):
    """What a loader reads from: a set of labelled images."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How its pixels are normalised."""

    def __len__(self) -> int:
        """Number of images."""

    def to(self, device: torch.device) -> Self:
        """The same set, with what it holds in memory on a device."""

    def read(
        self, batches: Sequence[tuple[int, Tensor]], key: tuple[int, int] | None, workers: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Reads batches of images.

        Args:
            batches: Of each, its index in the epoch and the rows of the set in it.
            key: (seed, epoch) of the augmentation, None for none. With the batch's index, or the image's row,
                it determines everything that is drawn.
            workers: Number of processes that read ahead, for a set on disk.

        Returns:
            For each batch, images uint8 `[B, C, H, W]` and labels int64 `[B]`.
        """


class Loader:
    """The batches of one epoch: images float32 `[B, C, H, W]`, normalised, and labels int64 `[B]`.

    The order of an epoch is a function of (seed, epoch) alone. Its augmentation is one of these and the
    batch's index (set in memory) or the image's row (folder). Neither depends on the global random state, the
    device or the number of workers, so an epoch that stopped after some batch goes on with the next as if
    nothing had happened. `state_dict` counts a batch as done once it is handed out: take it when the batch
    has been worked on.

    Lightning saves and restores a training loader by itself, in mid-epoch too, and sets its epoch (through
    `sampler`); a loop of one's own calls `set_epoch`.

    Args:
        data: The set, from `load_set`.
        batch_size: Images in a batch.
        train: Whether to shuffle, to augment, and to drop the last incomplete batch.
        seed: Of order and augmentation, 0 or more.
        device: Where the batches are wanted; a set in memory moves there once, as a whole.
        workers: Number of processes that decode ahead, for a set on disk; 0 to decode in this one.

    Raises:
        VentralError: A number is out of its range, or training has fewer images than a batch.
    """

    batch_sampler = None  # Lightning looks for it beside `sampler`

    def __init__(
        self,
        data: Source,
        batch_size: int,
        *,
        train: bool,
        seed: int = 0,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        if batch_size < 1 or seed < 0 or workers < 0:
            raise VentralError(
                "a loader needs a batch size of 1 or more, and a seed and a number of workers of 0 or more, "
                f"got {batch_size}, {seed} and {workers}."
            )
        if train and len(data) < batch_size:
            raise VentralError(f"{len(data)} training images do not fill one batch of {batch_size}.")
        self.device = torch.device(device)
        self.data = data.to(self.device)
        self.batch_size = batch_size
        self.train = train
        self.seed = seed
        self.workers = workers
        self.epoch = 0
        self._start = 0  # batch with which the next iteration begins: 0 but after load_state_dict
        self._done = 0  # batches of this epoch handed out

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        whole, rest = divmod(len(self.data), self.batch_size)
        return whole if self.train or rest == 0 else whole + 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterates over the epoch, or over what is left of it after `load_state_dict`."""
        # A generator, so that epoch and start are read when the first batch is asked for: Lightning makes the
        # iterator first and sets the epoch afterwards.
        start, self._start = self._start, 0
        self._done = start
        batches = list(enumerate(torch.split(self._order(), self.batch_size)))[start : len(self)]
        key = (self.seed, self.epoch) if self.train else None
        for images, labels in self.data.read(batches, key, self.workers):
            self._done += 1
            yield self.data.preprocessing.normalise(images.to(self.device)), labels.to(self.device)

    def _order(self) -> Tensor:
        if not self.train:
            return torch.arange(len(self.data))
        return torch.randperm(len(self.data), generator=generator(self.seed, self.epoch))

    @property
    def sampler(self) -> Loader:
        """The loader itself: Lightning calls `set_epoch` on the sampler of what it iterates over."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch to iterate over; one that is already under way keeps its position."""
        if epoch != self.epoch:
            self.epoch, self._start, self._done = epoch, 0, 0

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands, and what has to be the same for it to go on from there."""
        return {"epoch": self.epoch, "batches_done": self._done, **self._identity()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes on where `state_dict` was taken.

        Raises:
            VentralError: It was taken from a loader of other batches than this one's, or is no such state.
        """
        for name in self.state_dict():
            if not isinstance(state.get(name), int):
                raise VentralError(f"the state of a loader needs '{name}', a whole number; got {state.get(name)!r}.")
        for name, value in self._identity().items():
            if state[name] != value:
                raise VentralError(f"this epoch was begun with {name} = {state[name]} and must go on so, got {value}.")
        if state["epoch"] < 0 or not 0 <= state["batches_done"] <= len(self):
            raise VentralError(
                f"an epoch of {len(self)} batches cannot go on after {state['batches_done']} batches of epoch"
                f" {state['epoch']}."
            )
        self.epoch = state["epoch"]
        self._start = self._done = state["batches_done"]

    def _identity(self) -> dict[str, int]:
        return {"images": len(self.data), "batch_size": self.batch_size, "seed": self.seed}
