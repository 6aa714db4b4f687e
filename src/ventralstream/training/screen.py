"""What a run shows: how far it is, the time left, and a line for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.console import Console

from ventralstream.progress import Progress

WORTH_SAYING = 0.05  # part of the time that steps wait for images


class Screen(Progress):
    """Shows a run. The time left is that of the whole run, from the pace of this session (validation and all).

    Args:
        epochs: Epochs in the run.
        batches: Batches in an epoch.
        done: Batches done before this session.
        console: Where to write.
        every: Seconds between two lines, where there is no terminal.
    """

    def __init__(self, epochs: int, batches: int, done: int, console: Console, every: float = 30.0) -> None:
        super().__init__("training", epochs * batches, "batches", done=done, console=console, every=every)
        self.epochs, self.batches = epochs, batches
        self.advised = False

    def trained(self, done: int, loss: Callable[[], float], waiting: float = 0.0) -> None:
        """So many batches of the run are done.

        Args:
            done: How many.
            loss: Gives the last one's, for which a device may have to wait.
            waiting: The part of this epoch's time in which steps waited for images.
        """
        if done < self.total and self.due():  # after the last batch come its validation and the epoch's line
            waits = f", waiting for images {waiting:.0%}" if waiting >= WORTH_SAYING else ""
            self.update(done, f"epoch {(done - 1) // self.batches + 1}/{self.epochs}, loss {loss():.3f}{waits}")

    def waited(self, waiting: float, faster: str) -> None:
        """An epoch's training has ended; what makes images come `faster` is said once, if steps waited much."""
        if waiting >= WORTH_SAYING and faster and not self.advised:
            self.advised = True
            self.say(f"steps wait {waiting:.0%} of the time for images: {faster}")

    def validated(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch (counted from 1) has ended."""
        self.say(
            f"epoch {epoch}/{self.epochs}: train loss {metrics['train_loss_epoch']:.3f},"
            f" accuracy {metrics['train_accuracy_epoch']:.1%}; validation accuracy {metrics['val_accuracy']:.1%}"
        )
