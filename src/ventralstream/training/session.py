"""One session of a run: from a checkpoint on to the run's end, or until it is interrupted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric
from torch import Tensor, distributed
from torch.utils.tensorboard import SummaryWriter

from ventralstream.cost import training_flops
from ventralstream.data import Loader
from ventralstream.data.pixels import seed_of
from ventralstream.errors import VentralError
from ventralstream.evaluation import StepCounts, evaluating
from ventralstream.interrupt import Interruption
from ventralstream.layers.sync_norm import synchronise
from ventralstream.training.averaging import Average
from ventralstream.training.board import open_board
from ventralstream.training.checkpoint import checkpoints, keep_only, position, position_name, write_checkpoint
from ventralstream.training.finite import Watch, check_finite
from ventralstream.training.folder import CHECKPOINTS, TENSORBOARD, Checkpoint, RunFolder
from ventralstream.training.memory import keep_freed_memory
from ventralstream.training.metrics import Metrics
from ventralstream.training.recipe import Place
from ventralstream.training.screen import Screen
from ventralstream.training.split import Sets
from ventralstream.training.step import Step
from ventralstream.training.task import LOG_EVERY, Task, accuracy_name, metric_names

AfterBatch = Callable[[int], None]
AfterEpoch = Callable[[int, dict[str, float]], None]


class Hooks(NamedTuple):
    """What is called as a run goes on; what it raises ends the run.

    Attributes:
        after_batch: After each batch, with the batches done in the run.
        after_epoch: After each epoch, once it is saved, with the epochs done and what was measured.
    """

    after_batch: AfterBatch | None = None
    after_epoch: AfterEpoch | None = None


KEEP = 2  # checkpoints beside the first; the one before the last is there should the disk break the last one


class Session:
    """Trains a run on from a checkpoint.

    On several devices each takes every n-th image of a batch, so that the batch size does not depend on them.

    Args:
        run: The run.
        start: The checkpoint to go on from.
        fabric: The devices, launched.
        sets: The images to train and to validate on.
        place: Where it runs.
        screen: Where progress is shown.
        stop: Whether a signal asks for the end.
        hooks: What is called as it goes on.

    Attributes:
        network: The network that is trained.
        learnt: What is validated and saved as the run's weights: the network, or the average of its weights.
    """

    def __init__(
        self,
        run: RunFolder,
        start: Checkpoint,
        fabric: Fabric,
        sets: Sets,
        place: Place,
        screen: Screen,
        stop: Interruption,
        hooks: Hooks,
    ) -> None:
        self.run, self.recipe, self.fabric, self.place = run, run.recipe, fabric, place
        self.screen, self.stop, self.hooks = screen, stop, hooks
        if fabric.device.type == "cpu":
            keep_freed_memory()
        network = start.build()
        if self.recipe.sync_norm and fabric.world_size > 1:
            synchronise(network)
        if self.recipe.compile:
            network.compile()
        task = fabric.to_device(Task(network, self.recipe.loss, self.recipe.remat)).train()
        self.network = network
        self.step = Step(task, self.recipe, fabric)
        self.optimizer = fabric.strategy.setup_optimizer(self.recipe.optimizer.build(network))
        self.average: Average | None = None
        if self.recipe.ema_decay:
            self.average = Average(network, self.recipe.ema_decay, start.average)
        self.learnt = self.average.network if self.average else network
        if start.optimizer is not None:
            self.optimizer.load_state_dict(start.optimizer)
            fabric.strategy.precision.load_state_dict(start.scaler)
        self.train_loader, self.val_loader = (
            Loader(
                data,
                self.recipe.batch_size,
                train=data is sets[0],
                augment=self.recipe.augment,
                seed=self.recipe.seed,
                device=fabric.device,
                workers=place.workers,
                rank=fabric.global_rank,
                world=fabric.world_size,
            )
            for data in sets
        )
        self.batches = len(self.train_loader)
        self.epoch, self.batch = start.epoch, start.batch
        if self.batch:
            self.train_loader.load_state_dict(start.loader)
        # In this epoch and process: sum of losses, right answers, images. Of other processes than before, the first one
        # takes over what was counted: sums of the same numbers in another order differ in their last digits.
        counted = start.seen if len(start.seen) == fabric.world_size else start.seen.sum(0, keepdim=True)
        mine = counted[fabric.global_rank : fabric.global_rank + 1].sum(0)
        self.seen = mine.to(fabric.device)
        self.flops = start.flops
        self.watch = Watch(fabric.device, scaled=self.recipe.precision == "16")
        self.metrics: Metrics | None = None
        self.board: SummaryWriter | None = None
        if fabric.is_global_zero:
            self.metrics = Metrics(run.metrics, metric_names(network.spec), start.metrics)
            self.board = open_board(run.path / TENSORBOARD, self.done)
        self.saved, self.saved_at = (self.epoch, self.batch), time.monotonic()
        # What is later than the start was damaged, or the run would stand there.
        there = checkpoints(run.path / CHECKPOINTS)
        self.past = [path for path in there if position(path.name) <= self.saved]

    @property
    def done(self) -> int:
        """The batches done in the run."""
        return self.epoch * self.batches + self.batch

    def fit(self) -> None:
        """Trains and validates, epoch after epoch.

        Raises:
            Interrupted: if a signal came; what is done is saved.
            VentralError: if numbers that are not finite came out; what was saved before is good.
        """
        try:
            while self.epoch < self.recipe.epochs:
                if self.batch < self.batches:
                    self._train()
                self._check_finite()  # the last batch's weights, which no loss was measured with
                self._end_if_wanted()
                measured = self._validate()
                self.epoch, self.batch = self.epoch + 1, 0
                self.seen.zero_()
                self._log(self.done, self.epoch, **measured)
                self.save()
                if self.fabric.is_global_zero:
                    self.run.save_weights(self.learnt)
                    self.screen.validated(self.epoch, measured)
                if self.hooks.after_epoch is not None:
                    self.hooks.after_epoch(self.epoch, measured)
            if self.stop.wanted:
                raise self.stop.interrupted()
        except (RuntimeError, VentralError):
            if self.stop.wanted:  # the signal also ended a process that reads images; the last checkpoint is good
                raise self.stop.interrupted() from None
            raise
        finally:
            self.train_loader.close()
            self.val_loader.close()
            if self.board is not None:
                self.board.close()

    def save(self) -> None:
        """Makes a checkpoint of where the run stands, unless there is one; what is not finite is refused."""
        if self.saved == (self.epoch, self.batch):
            return
        self._check_finite()
        seen = self.fabric.all_gather(self.seen).reshape(-1, 3)
        if self.fabric.is_global_zero:
            assert self.metrics is not None
            here = Checkpoint(
                self.epoch,
                self.batch,
                self.run.recipe,
                self.network.spec,
                self.run.data,
                self.run.fingerprints,
                self.place,
                network=self.network.state_dict(),
                average=self.average.network.state_dict() if self.average else {},
                optimizer=self.optimizer.state_dict(),
                scaler=self.fabric.strategy.precision.state_dict(),
                loader=self.train_loader.state_dict(),
                seen=seen,
                flops=self.flops,
                metrics=self.metrics.text,
            )
            if self.board is not None:
                self.board.flush()  # what is before the checkpoint is not logged again
            newest = self.run.path / CHECKPOINTS / position_name(self.epoch, self.batch)
            write_checkpoint(newest, here.content())
            past = [*self.past, newest]
            self.past = past[:1] + past[1:][-KEEP:]
            keep_only(self.past)
        self.fabric.barrier()
        self.saved, self.saved_at = (self.epoch, self.batch), time.monotonic()

    def _check_finite(self) -> None:
        self.watch.settle()
        check_finite(self.network.state_dict(), self.optimizer.state_dict(), self.done)

    def _train(self) -> None:
        """Trains to the epoch's end."""
        self.train_loader.set_epoch(self.epoch)
        batches = iter(self.train_loader)
        try:
            self._end_if_wanted()
            for images, labels in batches:
                loss = self._learn(images, labels)
                self.batch += 1
                if self.hooks.after_batch is not None:
                    self.hooks.after_batch(self.done)
                self.screen.trained(self.done, loss.item, self.train_loader.waiting)
                if self.batch < self.batches:  # the last batch is followed by the validation
                    due, wanted = self._agree(time.monotonic() - self.saved_at >= self.place.checkpoint_every)
                    if due and not wanted:
                        self.save()
                    self._end_if_wanted(wanted)
        finally:
            _close(batches)
        self._tell_waits()

    def _tell_waits(self) -> None:
        """Says how long this epoch's steps waited; no metric, of which a resumed run has the same."""
        loader = self.train_loader
        self.screen.waited(loader.waiting, loader.data.faster)
        if self.board is not None:
            for name, seconds in (("waited", loader.waited), ("worked", loader.worked)):
                self.board.add_scalar(f"seconds/{name}", seconds, self.done)

    def _learn(self, images: Tensor, labels: Tensor) -> Tensor:
        """Updates the weights by one batch, and gives its loss."""
        fabric, recipe, step = self.fabric, self.recipe, self.done + 1
        # What is drawn in a batch (dropout) depends on this key alone: nothing of it need be in a checkpoint.
        torch.manual_seed(seed_of(recipe.seed, self.epoch, self.batch, fabric.global_rank))
        factor = recipe.schedule.factor(self.done, self.batches, recipe.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        # Which steps are learnt from is the same for all processes.
        view = recipe.loss.view(self.network.spec, random.Random(seed_of(recipe.seed, self.epoch, self.batch)))
        loss, right = self.step.gradient(images, labels, view)
        norm = self._clip()
        fabric.strategy.optimizer_step(self.optimizer)
        self.optimizer.zero_grad()
        flops = training_flops(self.network.spec, view.steps, view.presentation, view.readout)
        self.flops += flops * recipe.batch_size
        if self.average is not None:
            self.average.add(self.network, step)
        self.watch.add(step, loss, norm)
        seen = torch.stack([loss * len(labels), right, right.new_tensor(len(labels))])
        self.seen += seen
        if step % LOG_EVERY == 0:
            rate = recipe.optimizer.lr * factor
            total, rights, count = self._sum(seen).tolist()
            self._log(step, self.epoch + 1, lr=rate, train_loss=total / count, train_accuracy=rights / count)
        return loss

    def _clip(self) -> Tensor:
        """Limits the gradient, and gives its norm before."""
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        if self.recipe.clip:
            return torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])

    def _validate(self) -> dict[str, float]:
        """What was measured in this epoch, which ends with its validation."""
        self.screen.update(min(self.done, self.screen.total - 1), "validating")
        if self.fabric.world_size > 1:  # running statistics: each process's are of its share, unless synchronised
            for buffer in self.learnt.buffers():
                distributed.broadcast(buffer, 0)
        counts, batches = StepCounts(self.learnt), iter(self.val_loader)
        try:
            with evaluating(self.learnt), self.fabric.autocast():
                for images, labels in batches:
                    if len(labels):
                        counts.add(images, labels)
                    self._end_if_wanted()
        finally:
            _close(batches)
        loss, right, seen = self._sum(self.seen).tolist()
        counts.counts = self._sum(counts.counts)
        validated = counts.result()
        by_step = zip(map(accuracy_name, validated.steps), validated.accuracy, strict=True)
        return {
            "train_loss_epoch": loss / seen,
            "train_accuracy_epoch": right / seen,
            "pflop": self.flops / 1e15,
            "val_accuracy": validated.decision,
            **dict(by_step),
        }

    def _end_if_wanted(self, wanted: bool | None = None) -> None:
        """Saves and stops, if a signal asks for it."""
        if self._agree(False)[1] if wanted is None else wanted:
            self.save()
            raise self.stop.interrupted()

    def _agree(self, due: bool) -> tuple[bool, bool]:
        """Whether a checkpoint is due and whether to stop, the same for all processes."""
        if self.fabric.world_size == 1:
            return due, self.stop.wanted
        asked = torch.tensor([due and self.fabric.is_global_zero, self.stop.signum or 0], dtype=torch.int64)
        agreed: Tensor = self.fabric.all_reduce(asked.to(self.fabric.device), reduce_op="max")
        due_all, signum = agreed.tolist()
        self.stop.signum = signum or None  # so that all end with the same exit code
        return bool(due_all), self.stop.wanted

    def _sum(self, counts: Tensor) -> Tensor:
        total: Tensor = self.fabric.all_reduce(counts.to(self.fabric.device).clone(), reduce_op="sum")
        return total

    def _log(self, step: int, epoch: int, **metrics: float) -> None:
        if self.metrics is not None and self.board is not None:
            self.metrics.add(step, epoch=epoch, **metrics)
            for name, value in metrics.items():
                self.board.add_scalar(name, value, step)


def _close(batches: Any) -> None:
    """Ends an iteration now, and with it the processes that read ahead for it."""
    if isinstance(batches, Generator):
        batches.close()
