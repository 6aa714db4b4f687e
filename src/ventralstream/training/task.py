"""What Lightning runs: the loss of a batch, the optimizer, and what is measured on the way."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from ventralstream.data.pixels import seed_of
from ventralstream.errors import VentralError
from ventralstream.evaluation import StepCounts
from ventralstream.network import Network
from ventralstream.output import Output
from ventralstream.readout import PerStep, Readout
from ventralstream.training.recipe import Recipe

LOG_EVERY = 10  # batches between two rows of the metrics


def loss_of(out: Output, labels: Tensor, readout: Readout, label_smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of what the readout decides; with `PerStep`, the mean of all its steps'."""
    if not isinstance(readout, PerStep):
        return F.cross_entropy(out.output, labels, label_smoothing=label_smoothing)
    steps = out.logits.shape[1]
    return F.cross_entropy(out.logits.flatten(0, 1), labels.repeat_interleave(steps), label_smoothing=label_smoothing)


def accuracy_name(step: int) -> str:
    """The metric's name of the validation accuracy at a step."""
    return f"val_accuracy/step_{step:02d}"


def metric_names(network: Network) -> tuple[str, ...]:
    """The names of all that is measured: per batch (every `LOG_EVERY`), then per epoch."""
    spec = network.spec
    steps = range(network.first_steps[spec.readout_area], spec.steps)
    return (
        *("epoch", "lr", "train_loss", "train_accuracy"),
        *("train_loss_epoch", "train_accuracy_epoch", "val_accuracy"),
        *map(accuracy_name, steps),
    )


class Task(LightningModule):
    """Trains a network to classify.

    On several devices each takes every n-th image of a batch, so that the batch size does not depend on them.

    Args:
        network: The network; its spec says how many steps are run and how they are read out.
        recipe: How it is trained.
        batches: Number of batches in an epoch.

    Attributes:
        epoch_metrics: What was measured at the end of the last epoch.
    """

    def __init__(self, network: Network, recipe: Recipe, batches: int) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.batches = batches
        self.seen = torch.zeros(3)  # in this epoch and process: sum of losses, right answers, images
        self.val_counts = StepCounts(network)
        self.epoch_metrics: dict[str, float] = {}

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer, and its schedule, which moves on after each batch."""
        optimizer = self.recipe.optimizer.build(self.network.parameters())
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda batch: self.recipe.schedule.factor(batch, self.batches, self.recipe.epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Begins to count; an epoch that is carried on from a checkpoint goes on counting."""
        self.seen = torch.zeros(3)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of one batch."""
        # What is drawn in a batch (dropout) depends on this key alone: nothing of it need be in a checkpoint.
        torch.manual_seed(seed_of(self.recipe.seed, self.current_epoch, index, self.global_rank))
        images, labels = self._share(batch)
        out = self.network(images, remat=self.recipe.remat)
        loss = loss_of(out, labels, self.network.spec.readout, self.recipe.label_smoothing)
        right = (out.output.detach().argmax(-1) == labels).sum()
        self.seen = self.seen.to(loss.device)
        self.seen += torch.stack([loss.detach() * len(labels), right, right.new_tensor(len(labels))])
        step = self.global_step + 1
        if step % LOG_EVERY == 0:
            if not loss.isfinite():
                raise VentralError(f"the loss is {loss.item()} at batch {step}: try a lower learning rate, or clipping")
            self._log(
                step,
                lr=self.trainer.optimizers[0].param_groups[0]["lr"],
                train_loss=loss.item(),
                train_accuracy=right.item() / len(labels),
            )
        return loss

    def on_validation_epoch_start(self) -> None:
        """Begins to count."""
        self.val_counts = StepCounts(self.network)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Counts the right answers at every step."""
        images, labels = self._share(batch)
        if len(labels):
            self.val_counts.add(images, labels)

    def on_validation_epoch_end(self) -> None:
        """Adds up what the devices counted, and logs the epoch, which ends with its validation."""
        loss, right, images = self._sum(self.seen).tolist()
        self.val_counts.counts = self._sum(self.val_counts.counts)
        validated = self.val_counts.result()
        by_step = zip(map(accuracy_name, validated.steps), validated.accuracy, strict=True)
        self.epoch_metrics = {
            "train_loss_epoch": loss / images,
            "train_accuracy_epoch": right / images,
            "val_accuracy": validated.decision,
            **dict(by_step),
        }
        self._log(self.global_step, **self.epoch_metrics)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what was counted in this epoch so far."""
        checkpoint["seen"] = self._sum(self.seen)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it up again (the first of several processes does)."""
        self.seen = checkpoint["seen"] if self.global_rank == 0 else torch.zeros(3)

    def _share(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        images, labels = batch
        mine = slice(self.global_rank, None, self.trainer.world_size)
        return images[mine], labels[mine]

    def _sum(self, counts: Tensor) -> Tensor:
        total: Tensor = self.trainer.strategy.reduce(counts.to(self.device).clone(), reduce_op="sum")
        return total

    def _log(self, step: int, **metrics: float) -> None:
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch + 1, **metrics}, step=step)
