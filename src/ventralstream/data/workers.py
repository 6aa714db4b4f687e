"""What torch's reading processes do about signals and about the end of the process they read for."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from typing import Any

_GRACE = 30.0  # seconds that a worker goes on after SIGTERM, for its parent to finish a step and save


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
