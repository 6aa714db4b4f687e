"""What a demo shows while it runs: how far it is, and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LINE_EVERY = 15.0  # seconds, where there is no terminal


class Screen:
    """Shows the progress of `experiment.train`: a bar on a terminal, elsewhere a line from time to time.

    Args:
        console: Where to write.
        updates: Updates in all.
    """

    def __init__(self, console: Console, updates: int) -> None:
        self.console, self.updates = console, updates
        self.bar = Progress(
            TextColumn("Training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("updates, {task.description}"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=updates)
        self.began = self.shown = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, done: int, losses: Mapping[str, float]) -> None:
        """Shows that so many updates are done, and the losses of the last one."""
        said = "loss " + " ".join(f"{name} {loss:.2f}" for name, loss in losses.items())
        self.bar.update(self.task, completed=done, description=said)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self.shown > _LINE_EVERY or done == self.updates):
            self.shown = now
            left = (now - self.began) / done * (self.updates - done)
            self.console.print(f"{done}/{self.updates} updates, {said}, {left:.0f} s left", soft_wrap=True)
