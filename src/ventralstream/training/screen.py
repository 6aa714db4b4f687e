"""What a run shows: how far it is, the time left, and a line for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.console import Console

from ventralstream.progress import Progress


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

    def trained(self, done: int, loss: Callable[[], float]) -> None:
        """So many batches of the run are done; `loss` gives the last one's, for which a device may have to wait."""
        if done < self.total and self.due():  # after the last batch come its validation and the epoch's line
            self.update(done, f"epoch {(done - 1) // self.batches + 1}/{self.epochs}, loss {loss():.3f}")

    def validated(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch (counted from 1) has ended."""
        self.say(
            f"epoch {epoch}/{self.epochs}: train loss {metrics['train_loss_epoch']:.3f},"
            f" accuracy {metrics['train_accuracy_epoch']:.1%}; validation accuracy {metrics['val_accuracy']:.1%}"
        )
