"""Signals during long work (training, extraction): it finishes its batch and saves before it ends."""

from __future__ import annotations

import atexit
import signal
import threading
from types import FrameType
from typing import Any, NoReturn, Self

from ventralstream.errors import Interrupted

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2") if hasattr(signal, name)]


class Interruption:
    """While it is entered, SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGUSR2 (Slurm's) are noted, and nothing else happens.

    The loop asks `wanted` where it can stop. Further signals change nothing: what is being saved is saved. Outside
    the main thread, where Python handles no signals, it does nothing. Entered inside another one, it knows what came to
    that, and hands on to it what comes. Where signals end the process (`heed`), it ends undisturbed once it was
    interrupted.

    Attributes:
        signum: The first signal that came, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}
        self._outer: Interruption | None = None

    @property
    def wanted(self) -> bool:
        """Whether a signal came."""
        return self.signum is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                # with nohup a lost terminal is no reason to stop
                if not (signum == getattr(signal, "SIGHUP", None) and signal.getsignal(signum) is signal.SIG_IGN):
                    self._before[signum] = before = signal.signal(signum, self._note)
                    owner = getattr(before, "__self__", None)
                    self._outer = owner if isinstance(owner, Interruption) else self._outer
            if self._outer is not None:
                self.signum = self._outer.signum
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        if interrupted and _interrupt in self._before.values():
            _ignore()
            return
        for signum, handler in self._before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        if self._outer is not None and self.signum is not None:
            self._outer._note(self.signum, None)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signum

    def interrupted(self) -> Interrupted:
        """What to raise when it was wanted."""
        return Interrupted.by(self.signum or signal.SIGINT)


def heed() -> None:
    """Makes the first signal an interruption, wherever it comes, for a process that ends with it: a command's.

    Further ones change nothing, so that where the work stands, and how to carry on, is said.
    """
    if threading.current_thread() is threading.main_thread():
        for signum in _SIGNALS:
            if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(signum, _interrupt)
        atexit.register(_ignore)  # nothing is left to interrupt, and Python would end by the signal


def _ignore() -> None:
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    _ignore()
    raise Interrupted.by(signum, "interrupted")
