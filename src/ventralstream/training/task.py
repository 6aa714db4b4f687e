"""The loss of a batch, and what is measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ventralstream.network import Network
from ventralstream.readout import PerStep
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

    def chunks(
        self, images: Tensor, labels: Tensor, view: View, size: int, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The same in chunks of steps, between which no gradient flows: truncated backpropagation through time.

        Each chunk's loss must be differentiated before the next one is asked for; then its activations are gone.
        Chunks before the first step that the loss looks at are run without gradients.

        Args:
            images, labels, view: As for the call.
            size: Steps in a chunk.
            autocast: In what the network is run.

        Returns:
            Of each chunk, its part of the loss, and the number of right answers of the last step, else 0.
        """
        weights = self.loss.by_step(self.network.spec, view)
        last, state = max(weights), None
        for start in range(0, last + 1, size):
            count = min(size, last + 1 - start)
            here = {t: w for t, w in weights.items() if start <= t < start + count}
            with autocast(), torch.set_grad_enabled(bool(here)):
                out = self.network(
                    images,
                    count,
                    presentation=view.presentation,
                    readout=PerStep(start=min(here)) if here else None,
                    state=state,
                    return_state=last >= start + count,
                    remat=self.remat,
                )
                logits = {t: out.logits[:, out.steps.index(t)] for t in here}
                terms = [w * self.loss.cross_entropy(logits[t], labels) for t, w in here.items()]
            state = out.state.detach() if out.state is not None else None
            if here:
                right = (logits[last].detach().argmax(-1) == labels).sum() if last in here else labels.new_zeros(())
                yield torch.stack(terms).sum(), right
