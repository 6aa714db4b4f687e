"""How far a long task is: a live bar on a terminal, elsewhere (a log file, a pipe) a line from time to time."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from ventralstream.errors import printable

EVERY = 15.0  # seconds between two lines, where there is no terminal


def stderr_console(quiet: bool = False) -> Console:
    """Where progress is shown unless told otherwise: stderr, so that a pipe gets results only.

    Text is shown as it is (no markup, no colours of rich's choice) and not wrapped.
    """
    return Console(stderr=True, quiet=quiet, soft_wrap=True, markup=False, highlight=False)


def stdout_console() -> Console:
    """Where a command prints its results: text as it is, not wrapped."""
    return Console(soft_wrap=True, markup=False, highlight=False)


def print_plainly(console: Console, sentence: str) -> None:
    """Prints a sentence as it is, on one line, whatever console it is: brackets are no markup, and nothing wraps."""
    console.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


class Progress:
    """Shows how much of a task is done, and the time left at this session's pace.

    with Progress("extracting", len(ids), "images", done=already) as progress:
        progress.update(done, "conv5")  # as often as one likes
        progress.say("skipped broken.png")

    Args:
        what: What is going on, e.g. "extracting".
        total: How much there is to do.
        unit: Of what, e.g. "images".
        done: How much was done before this session.
        console: Where to write; stderr if None. Give one with `quiet=True` to show nothing.
        every: Seconds between two lines where there is no terminal.
    """

    def __init__(
        self, what: str, total: int, unit: str, *, done: int = 0, console: Console | None = None, every: float = EVERY
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.first = self.done = done
        self.console = stderr_console() if console is None else console
        self.every = every
        self.bar = Bar(
            TextColumn(what, markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(unit, total=total, completed=done)
        self.began = self.shown = time.monotonic()

    def __enter__(self) -> Self:
        """Shows the bar; the time left is reckoned from here."""
        self.began = self.shown = time.monotonic()
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the bar away, so that nothing is written into it."""
        self.bar.stop()

    def due(self) -> bool:
        """Whether it is time to show something: for a caller to whom a note is some work."""
        return time.monotonic() - self.shown >= (0.2 if self.console.is_terminal else self.every)

    def update(self, done: int, note: str = "") -> None:
        """Shows that so much is done; `note` is what else there is to tell. The end is always shown."""
        now, self.done = time.monotonic(), done
        spent = now - self.began
        parts = [self.unit, note]
        if done >= self.total:
            parts.append(f"in {clock(spent)}")
        elif done > self.first:
            parts.append(f"{clock(spent / (done - self.first) * (self.total - done))} left")
        text = printable(", ".join(part for part in parts if part))
        if self.console.is_terminal:
            self.shown = now
            self.bar.update(self.task, completed=done, description=text)
        elif now - self.shown >= self.every or done >= self.total:
            self.shown = now
            self.say(f"{self.what}: {done}/{self.total} {text}")

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        print_plainly(self.console, line)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
