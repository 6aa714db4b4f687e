"""What a run shows: how far it is, the time left, and a line for each epoch."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ventralstream.training.task import Task


class Screen(Callback):
    """Shows the progress: on a terminal as a bar, elsewhere (a log file) as a line from time to time.

    The time left is that of the whole run, from the pace of this session (validation and all).

    Args:
        epochs: Epochs in the run.
        batches: Batches in an epoch.
        console: Where to write.
        every: Seconds between two lines, where there is no terminal.
    """

    def __init__(self, epochs: int, batches: int, console: Console, every: float = 30.0) -> None:
        self.epochs = epochs
        self.batches = batches
        self.console = console
        self.every = 0.2 if console.is_terminal else every
        self.bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("batches, {task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task_id = self.bar.add_task("starting", total=epochs * batches)
        self.began = self.shown = time.monotonic()
        self.first = 0

    def on_train_start(self, trainer: Trainer, task: LightningModule) -> None:
        """Begins where the run stands."""
        self.began = self.shown = time.monotonic()
        self.first = trainer.global_step
        if trainer.is_global_zero:
            self.bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, task: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves on, if it was not shown just now."""
        now, done = time.monotonic(), trainer.global_step
        if now - self.shown < self.every or not trainer.is_global_zero:
            return
        self.shown = now
        left = (now - self.began) / (done - self.first) * (self.epochs * self.batches - done)
        loss = outputs["loss"].item()
        text = f"epoch {trainer.current_epoch + 1}/{self.epochs}, loss {loss:.3f}, {_clock(left)} left"
        if self.console.is_terminal:
            self.bar.update(self.task_id, completed=done, description=text)
        else:
            self.console.print(f"batch {batch_idx + 1}/{self.batches} of {text}")

    def on_validation_start(self, trainer: Trainer, task: LightningModule) -> None:
        """Says so: a large set takes its time."""
        self.bar.update(self.task_id, completed=trainer.global_step, description="validating")

    def on_validation_end(self, trainer: Trainer, task: LightningModule) -> None:
        """Prints the epoch's line."""
        assert isinstance(task, Task)
        if trainer.is_global_zero:
            m = task.epoch_metrics
            self.console.print(
                f"epoch {trainer.current_epoch + 1}/{self.epochs}: train loss {m['train_loss_epoch']:.3f},"
                f" accuracy {m['train_accuracy_epoch']:.1%}; validation accuracy {m['val_accuracy']:.1%}",
                soft_wrap=True,
            )

    def on_train_end(self, trainer: Trainer, task: LightningModule) -> None:
        """Takes the bar away."""
        self.bar.stop()

    def on_exception(self, trainer: Trainer, task: LightningModule, exception: BaseException) -> None:
        """Takes the bar away, so that a message is not written into it; after Ctrl-C says how to go on."""
        self.bar.stop()
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            command = f"ventral train --resume {trainer.default_root_dir}"
            self.console.print(f"carry on with: {command}", soft_wrap=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
