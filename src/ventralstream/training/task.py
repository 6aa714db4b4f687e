"""The loss of a batch, and what is measured on the way."""

from __future__ import annotations

from torch import Tensor, nn

from ventralstream.network import Network
from ventralstream.spec import NetworkSpec
from ventralstream.timing import first_steps
from ventralstream.training.loss import Loss, View

LOG_EVERY = 10  # batches between two rows of the metrics


def accuracy_name(step: int) -> str:
    """The metric's name of the validation accuracy at a step."""
    return f"val_accuracy/step_{step:02d}"


def metric_names(spec: NetworkSpec) -> tuple[str, ...]:
    """The names of all that is measured: per batch (every `LOG_EVERY`), then per epoch."""
    steps = range(first_steps(spec)[spec.readout_area], spec.steps)
    return (
        *("epoch", "lr", "train_loss", "train_accuracy"),
        *("train_loss_epoch", "train_accuracy_epoch", "pflop", "val_accuracy"),
        *map(accuracy_name, steps),
    )


class Task(nn.Module):
    """A network that learns to classify: images [B, C, H, W] and labels [B] to (loss, number of right answers).

    Args:
        network: The network; its spec says how many steps are run and how they are read out.
        loss: What is made smaller.
        remat: Whether activations are recomputed in the backward pass.
    """

    def __init__(self, network: Network, loss: Loss, remat: bool = False) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.remat = remat

    def forward(self, images: Tensor, labels: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """The loss of one batch, and how many of its answers are right."""
        out = self.network(images, view.steps, presentation=view.presentation, readout=view.readout, remat=self.remat)
        return self.loss.of(out, labels), (out.output.detach().argmax(-1) == labels).sum()
