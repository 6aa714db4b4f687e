"""Processes that read for this one: started once, and gone when it is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset, Sampler

from ventralstream.data.pixels import generator
from ventralstream.errors import VentralError

Item = TypeVar("Item")
Batch = TypeVar("Batch")

_GRACE = 30.0  # seconds that a worker goes on after SIGTERM, for its parent to finish a step and save


class Workers(Generic[Item, Batch]):
    """Reads batches of items in order, in processes that are started with the first and kept until `close`.

    Args:
        read: Reads one item; it goes to each process once.
        collate: Makes a batch of what was read of its items.
        count: How many processes; with 0 this one reads, when a batch is asked for.
        pin: Whether batches come in pinned memory, from which a GPU copies them while it works.
    """

    def __init__(
        self, read: Callable[[Any], Item], collate: Callable[[list[Item]], Batch], count: int, pin: bool = False
    ) -> None:
        self.read_item, self.collate, self.count, self.pin = read, collate, count, pin
        self._batches = _Batches()
        self._loader: DataLoader[Item] | None = None

    def read(self, batches: Iterable[list[Any]]) -> Iterator[Batch]:
        """Reads batches, given the items of each; one that was given up leaves no trace.

        Raises:
            VentralError: as `read` raises it, or if a process was ended from outside.
        """
        self._batches.of_this_time = batches
        if self._loader is None:
            self._loader = DataLoader(
                _Items(self.read_item),
                batch_sampler=self._batches,
                num_workers=self.count,
                collate_fn=self.collate,
                pin_memory=self.pin,
                persistent_workers=self.count > 0,
                generator=generator(0),  # its own: the global random state is left alone
                worker_init_fn=worker_init(),
            )
        try:
            yield from self._loader
        except VentralError as error:
            # From a worker it comes wrapped in that worker's traceback, ours being the last line.
            raise VentralError(str(error).rsplit("VentralError: ", 1)[-1].strip()) from None
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker (pid"):  # of what was raised in one it says more
                raise
            self.close()
            fewer = f"fewer than {self.count} workers" if self.count > 1 else "none (--workers 0)"
            raise VentralError(
                f"a process that reads images was ended from outside, perhaps for want of memory; expected it to go"
                f" on: try {fewer}"
            ) from None

    def close(self) -> None:
        """Ends the processes."""
        self._loader = None  # the last reference: what it held ends them


class _Batches(Sampler[list[Any]]):
    """The batches of an epoch, which a loader that keeps its processes asks for anew each time."""

    of_this_time: Iterable[list[Any]] = ()

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.of_this_time)


class _Items(Dataset[Item]):
    """What torch wants to be told of items: how one is read."""

    def __init__(self, read: Callable[[Any], Item]) -> None:
        self.read = read

    def __getitem__(self, item: Any) -> Item:
        return self.read(item)


def start_worker(parent: int, index: int = 0) -> None:
    """Prepares a worker process (as `partial(start_worker, os.getpid())` it is a `worker_init_fn`).

    A signal to the whole group of processes (Ctrl-C, a cluster's SIGTERM) is the parent's to handle, which still
    needs its workers for the step it finishes. When the parent is gone, however it ended, the worker ends too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def worker_init() -> partial[None]:
    """The `worker_init_fn` of a loader made in this process."""
    return partial(start_worker, os.getpid())


def _end_later(*_: Any) -> None:
    timer = threading.Timer(_GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)
