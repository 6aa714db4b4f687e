"""When checkpoints are made."""

from __future__ import annotations

import shutil
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from ventralstream.training.checkpoint import checkpoints, position_name
from ventralstream.training.folder import CHECKPOINTS, RunFolder

KEEP = 2  # checkpoints; the one before the last is there should the disk break the last one


class Checkpoints(Checkpoint):
    """Makes a checkpoint every so often and at the end of each epoch, where it also saves the weights.

    Args:
        run: The run.
        every: Seconds between checkpoints; 0 for one after each batch.
    """

    def __init__(self, run: RunFolder, every: float) -> None:
        self.run = run
        self.every = every
        self.last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, task: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Makes one if it is time; not after an epoch's last batch: that one follows the validation."""
        if trainer.is_last_batch:
            return
        if trainer.strategy.broadcast(time.monotonic() - self.last >= self.every):
            self._save(trainer, trainer.current_epoch, batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, task: LightningModule) -> None:
        """Makes one, and the run's weights."""
        self._save(trainer, trainer.current_epoch + 1, 0)
        if trainer.is_global_zero:
            self.run.update_weights()

    def _save(self, trainer: Trainer, epoch: int, batch: int) -> None:
        folder = self.run.path / CHECKPOINTS
        trainer.save_checkpoint(folder / position_name(epoch, batch))
        if trainer.is_global_zero:
            for old in checkpoints(folder)[:-KEEP]:
                shutil.rmtree(old)
        self.last = time.monotonic()
