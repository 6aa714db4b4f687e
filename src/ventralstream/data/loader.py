"""Batches of a labelled set, such that an interrupted epoch goes on exactly where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from ventralstream.data.augment import Augment
from ventralstream.data.folder import Preprocessing
from ventralstream.data.pixels import generator
from ventralstream.data.views import augmented, draw_views
from ventralstream.errors import VentralError


class Share(NamedTuple):
    """The images of a batch.

    Attributes:
        rows: Which of the set, `[B]`, int64, on the CPU.
        box: Of their views, `[B, 4]`; see `ventralstream.data.views`.
    """

    rows: Tensor
    box: Tensor


class Source(Protocol):
    """What a loader reads from: a set of labelled images."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How its pixels are normalised."""

    def __len__(self) -> int:
        """Number of images."""

    def to(self, device: torch.device) -> Self:
        """The same set, with what it holds in memory on a device."""

    @property
    def augment(self) -> Augment:
        """What training does to its images unless told otherwise."""

    def read(self, batches: Sequence[Share], augment: Augment | None, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Reads batches of images.

        Args:
            batches: Which images are in each.
            augment: Of which the source does `area`; None for none.
            workers: Number of processes that read ahead, for a set on disk.

        Returns:
            For each batch, images uint8 `[B, C, H, W]` and labels int64 `[B]`.
        """


class Loader:
    """The batches of one epoch: images float32 `[B, C, H, W]`, normalised, and labels int64 `[B]`.

    The order of an epoch is a function of (seed, epoch) alone, and what an image goes through one of these and its
    row. Neither depends on the global random state, the batch size, the device or the number of workers, so an epoch
    that stopped after some batch goes on with the next as if nothing had happened. `state_dict` counts a batch as done
    once it is handed out: take it when the batch has been worked on.

    Lightning saves and restores a training loader by itself, in mid-epoch too, and sets its epoch (through
    `sampler`); a loop of one's own calls `set_epoch`.

    Args:
        data: The set, from `load_set`.
        batch_size: Images in a batch.
        train: Whether to shuffle, to augment, and to drop the last incomplete batch.
        augment: What training does to the images; what is usual for the set (`data.augment`) if None.
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
        augment: Augment | None = None,
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
        self.augment = (data.augment if augment is None else augment) if train else None
        if self.augment is not None:
            self.augment.check_size(data.preprocessing.size)
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
        preprocessing, augment = self.data.preprocessing, self.augment
        order = self._order()
        views = draw_views(augment or Augment(), order, (preprocessing.size,) * 2, self.seed, self.epoch)
        places = [slice(i * self.batch_size, (i + 1) * self.batch_size) for i in range(start, len(self))]
        shares = [Share(order[place], views.box[place]) for place in places]
        here = views.to(self.device)
        batches = self.data.read(shares, augment, self.workers)
        for place, (images, labels) in zip(places, batches, strict=True):
            self._done += 1
            images = images.to(self.device)
            if augment is not None:
                colour = [round(255 * mean) for mean in preprocessing.mean]
                images = augmented(images, augment, here[place], colour)
            yield preprocessing.normalise(images), labels.to(self.device)

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
