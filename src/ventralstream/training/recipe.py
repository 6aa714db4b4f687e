"""How a network is trained (`Recipe`) and where (`Place`), as data; torch is imported only when used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Amount, Count, Fraction, Pixels, Positive, Seed, Within

if TYPE_CHECKING:
    import torch

Processes = Annotated[int, Within(1, 4096)]


@dataclass(frozen=True)
class Optimizer(Spec):
    """Base of the optimisers' options.

    Attributes:
        lr: The highest learning rate; the schedule multiplies it.
        weight_decay: Applied to weights; biases, gains of normalisations and scalars have none (our choice).
    """

    lr: Positive
    weight_decay: Amount

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Makes the optimiser of some parameters."""
        matrices: list[torch.nn.Parameter] = []
        vectors: list[torch.nn.Parameter] = []
        for p in parameters:
            (matrices if p.dim() > 1 else vectors).append(p)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return self._of([group for group in groups if group["params"]])

    def _of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        raise NotImplementedError


@tagged("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov's momentum (plain if `momentum` is 0)."""

    lr: Positive = 0.1
    weight_decay: Amount = 5e-4
    momentum: Fraction = 0.9

    def _of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.SGD(groups, self.lr, momentum=self.momentum, nesterov=self.momentum > 0)


@tagged("adamw")
@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    lr: Positive = 2e-3
    weight_decay: Amount = 0.05

    def _of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.AdamW(groups, self.lr)


OPTIMIZERS: dict[str, type[Optimizer]] = {cls.tag: cls for cls in (SGD, AdamW)}


@tagged("schedule")
@dataclass(frozen=True)
class Schedule(Spec):
    """The learning rate over the run, as a factor of the optimiser's.

    Attributes:
        shape: "constant"; "step" (multiplied by `drop` every `drop_every` epochs); "cosine" (half a period,
            down to 0 at the end of the run); "onecycle" (up in a straight line for the first 30 % of the run
            and down to 0 in another; after Smith & Topin 2017, but with constant momentum: our choice).
        warmup: Epochs during which the factor also rises from 0 in a straight line.
        drop_every: Epochs between the drops of "step".
        drop: The factor of each of them.
    """

    shape: Literal["constant", "step", "cosine", "onecycle"] = "onecycle"
    warmup: Amount = 0.0
    drop_every: Annotated[float, Within(1e-3, 1e6)] = 30.0
    drop: Annotated[float, Within(above=0, at_most=1)] = 0.1

    def factor(self, batch: int, batches: int, epochs: int) -> float:
        """The factor for one batch.

        Args:
            batch: Batches before it in the run.
            batches: Batches in an epoch.
            epochs: Epochs in the run.
        """
        epoch = batch / batches  # now, in epochs
        part = epoch / epochs  # now, as a part of the run
        rise = min(1.0, (batch + 1) / (self.warmup * batches)) if self.warmup else 1.0
        if self.shape == "step":
            return rise * self.drop ** math.floor(epoch / self.drop_every)
        if self.shape == "cosine":
            return rise * (1 + math.cos(math.pi * part)) / 2
        if self.shape == "onecycle":
            return rise * min((batch + 1) / (0.3 * epochs * batches), (1 - part) / 0.7, 1.0)
        return rise


@tagged("recipe")
@dataclass(frozen=True)
class Recipe(Spec):
    """Everything that determines what a network learns, beside its spec (steps and readout are the spec's).

    Attributes:
        data: Name of the image set; see `ventralstream.data.load_set`.
        size: Height and width of the images in pixels, for sets that leave it open; None is their default.
        subset: Train on so many images only.
        val_subset: Validate on so many images only.
        epochs: Passes through the training images.
        batch_size: Images in a batch, over all devices.
        optimizer: `SGD` or `AdamW`.
        schedule: The learning rate over time.
        clip: Largest norm of the gradient (of all parameters together); None for no limit.
        label_smoothing: The part of the target's probability that is spread over all classes.
        precision: "32"; "bf16" and "16" compute convolutions and the like in half precision (automatic mixed
            precision), weights staying in 32 bits.
        seed: Of the weights, the order of the images, their augmentation and dropout.
        remat: Recomputes activations in the backward pass: less memory, more time, the same numbers.
        compile: Compiles the areas with torch.compile.
    """

    data: str = "cifar10"
    size: Pixels | None = None
    subset: Count | None = None
    val_subset: Count | None = None
    epochs: Count = 20
    batch_size: Count = 64
    optimizer: Optimizer = SGD()
    schedule: Schedule = Schedule()
    clip: Positive | None = 1.0
    label_smoothing: Fraction = 0.0
    precision: Literal["32", "bf16", "16"] = "32"
    seed: Seed = 0
    remat: bool = False
    compile: bool = False


@tagged("place")
@dataclass(frozen=True)
class Place(Spec):
    """Where a run takes place; it may change when the run is resumed.

    Attributes:
        root: Folder of the image set (none for "scenes"); None is the one that VENTRALSTREAM_DATA names at the
            beginning.
        accelerator: "auto" takes a GPU if there is one; "gpu" is "cuda" or "mps" (Apple's), whichever is there.
        devices: Processes and devices that share each batch.
        threads: Processor threads for torch; None is torch's choice. Another number changes the last digits.
        workers: Processes that decode images, for sets on disk.
        checkpoint_every: Seconds between checkpoints; there is one at the end of each epoch in any case.
    """

    root: str | None = None
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Processes = 1
    threads: Processes | None = None
    workers: Annotated[int, Within(0, 4096)] = 2
    checkpoint_every: Annotated[float, Within(0, 1e9)] = 60.0
