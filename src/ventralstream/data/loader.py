"""Batches of a labelled set, such that an interrupted epoch goes on exactly where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ventralstream.data.augment import Augment
from ventralstream.data.pixels import generator
from ventralstream.data.source import Share, Source
from ventralstream.data.views import augmented, draw_views
from ventralstream.errors import VentralError


class Loader:
    """The batches of one epoch: images float32 `[B, C, H, W]`, normalised, and labels int64 `[B]`.

    A new iteration ends the one before it.

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
        workers: Number of processes (threads, for a packed set) that read ahead, for a set on disk; 0 to read in this
            one. They are started with the first batch and kept until `close`, or until the loader is gone.
        rank: Which of `world` processes this is, that share each batch: it reads and gives only its own images, every
            `world`-th. The order, the batches and what images go through do not depend on it.
        world: How many they are.

    Attributes:
        waited: Seconds for which whoever iterates has waited for batches, in this iteration (or the last one).
        worked: Seconds that they have worked on them.

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
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1 or seed < 0 or workers < 0:
            raise VentralError(
                "a loader needs a batch size of 1 or more, and a seed and a number of workers of 0 or more, "
                f"got {batch_size}, {seed} and {workers}."
            )
        if not 0 <= rank < world:
            raise VentralError(f"the rank of a loader is one of 0 to {world - 1}, got {rank}.")
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
        self.rank, self.world = rank, world
        self.waited = self.worked = 0.0
        self._reader = self.data.reader(self.augment, workers, self.device)
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
        self.waited = self.worked = 0.0
        asked = time.monotonic()
        for images, labels in self._batches(start):
            self._done += 1
            given = time.monotonic()
            self.waited += given - asked
            yield images, labels
            asked = time.monotonic()
            self.worked += asked - given

    @property
    def waiting(self) -> float:
        """The part of the time that went by in waiting for images, 0 to 1, in this iteration (or the last one)."""
        return self.waited / (self.waited + self.worked) if self.worked else 0.0

    def _batches(self, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        preprocessing, augment, device = self.data.preprocessing, self.augment, self.device
        order, size = self._order(), self.batch_size
        mine = [order[i * size : (i + 1) * size][self.rank :: self.world] for i in range(start, len(self))]
        rows = torch.cat([order[:0], *mine])
        box = torch.zeros((len(rows), 4), dtype=torch.float64)
        if augment is not None:
            views = draw_views(augment, rows, (preprocessing.size,) * 2, self.seed, self.epoch)
            box, views = views.box, views.to(device)
        counts = [len(share) for share in mine]
        shares = [Share(*share) for share in zip(mine, torch.split(box, counts), strict=True)]
        first = 0
        for count, (images, labels) in zip(counts, self._reader.read(shares), strict=True):
            images = images.to(device, non_blocking=True)
            if augment is not None:
                colour = [round(255 * mean) for mean in preprocessing.mean]
                images = augmented(images, augment, views[first : first + count], colour)
                first += count
            yield preprocessing.normalise(images), labels.to(device, non_blocking=True)

    def _order(self) -> Tensor:
        if not self.train:
            return torch.arange(len(self.data))
        return torch.randperm(len(self.data), generator=generator(self.seed, self.epoch))

    def close(self) -> None:
        """Ends the processes that read ahead; iterating again starts them again."""
        self._reader.close()

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
