"""The loss of a batch, and what is measured on the way."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ventralstream.network import Network
from ventralstream.output import Output
from ventralstream.readout import PerStep, Readout
from ventralstream.spec import NetworkSpec
from ventralstream.timing import first_steps

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


def metric_names(spec: NetworkSpec) -> tuple[str, ...]:
    """The names of all that is measured: per batch (every `LOG_EVERY`), then per epoch."""
    steps = range(first_steps(spec)[spec.readout_area], spec.steps)
    return (
        *("epoch", "lr", "train_loss", "train_accuracy"),
        *("train_loss_epoch", "train_accuracy_epoch", "val_accuracy"),
        *map(accuracy_name, steps),
    )


class Task(nn.Module):
    """A network that learns to classify: images [B, C, H, W] and labels [B] to (loss, number of right answers).

    Args:
        network: The network; its spec says how many steps are run and how they are read out.
        label_smoothing: The part of the target's probability that is spread over all classes.
        remat: Whether activations are recomputed in the backward pass.
    """

    def __init__(self, network: Network, label_smoothing: float = 0.0, remat: bool = False) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing
        self.remat = remat

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of one batch, and how many of its answers are right."""
        out = self.network(images, remat=self.remat)
        loss = loss_of(out, labels, self.network.spec.readout, self.label_smoothing)
        return loss, (out.output.detach().argmax(-1) == labels).sum()
