"""The gradient of one batch: whole, in micro-batches or in chunks of steps, and its mean over the devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from ventralstream.training.loss import View
from ventralstream.training.recipe import Recipe
from ventralstream.training.task import Task


class Step:
    """Makes the gradient of a batch.

    Where each batch has one backward pass of the same graph, Lightning's DistributedDataParallel averages the
    gradients while they are made (`static_graph`: a parameter that no step uses is no obstacle). Else they are averaged
    once, when the last of the backward passes is done.

    Args:
        task: The network that learns, on its device.
        recipe: How.
        fabric: The devices, launched.
    """

    def __init__(self, task: Task, recipe: Recipe, fabric: Fabric) -> None:
        self.task, self.recipe, self.fabric = task, recipe, fabric
        one = recipe.accumulate == 1 and recipe.tbptt is None and not recipe.loss.draws
        self.model: nn.Module = fabric.strategy.setup_module(task) if one else task
        self.averages = fabric.world_size > 1 and not one

    def gradient(self, images: Tensor, labels: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """Adds this batch's gradient to the parameters'.

        Args:
            images, labels: This process's share of the batch.
            view: How the network is run for it.

        Returns:
            The loss of the share, and how many of its answers are right; a device may still be working on them.
        """
        losses, rights, parts = [], [], self.recipe.accumulate
        for part in zip(images.chunk(parts), labels.chunk(parts), strict=True):
            for objective, right in self._objectives(*part, view):
                self.fabric.backward(objective / parts)
                losses.append(objective.detach() / parts)
                rights.append(right)
        if self.averages:
            average_gradients(self.task.parameters(), self.fabric)
        return torch.stack(losses).sum(), torch.stack(rights).sum()

    def _objectives(self, images: Tensor, labels: Tensor, view: View) -> Iterator[tuple[Tensor, Tensor]]:
        """What is to be differentiated, one after the other, with the right answers that each tells of."""
        if self.recipe.tbptt is not None:
            yield from self.task.chunks(images, labels, view, self.recipe.tbptt, self.fabric.autocast)
            return
        with self.fabric.autocast():
            found: tuple[Tensor, Tensor] = self.model(images, labels, view)
        yield found


def average_gradients(parameters: Iterable[nn.Parameter], fabric: Fabric) -> None:
    """Makes each gradient the mean of all processes'; where no process has one, there is none.

    All at once, so that the order of summation, and with it every bit, does not depend on when each was made.
    """
    learned = [p for p in parameters if p.requires_grad]
    there = torch.tensor([float(p.grad is not None) for p in learned], device=fabric.device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
    total: Tensor = fabric.all_reduce(torch.cat([*(g.flatten() for g in gradients), there]), reduce_op="sum")
    *means, having = (total / fabric.world_size).split([*map(Tensor.numel, gradients), len(learned)])
    for p, mean, some in zip(learned, means, having.tolist(), strict=True):
        p.grad = mean.view_as(p).to(p.dtype) if some else None
