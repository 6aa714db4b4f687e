"""How a network is trained (`Recipe`) and where (`Place`), as data; torch is imported only when used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ventralstream.data.augment import Augment
from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.training.loss import DecisionLoss, Loss
from ventralstream.training.optimizers import SGD, Optimizer
from ventralstream.training.schedule import Schedule
from ventralstream.values import Amount, Count, Fraction, Pixels, Seed, Within

Processes = Annotated[int, Within(1, 4096)]


@tagged("recipe")
@dataclass(frozen=True)
class Recipe(Spec):
    """Everything that determines what a network learns, beside its spec (steps and readout are the spec's).

    Attributes:
        data: The image set: cifar10, cifar100, folder, packed or scenes; see `ventralstream.data.load_set`.
        size: Height and width of the images in pixels, for sets that leave it open; left out, their default.
        subset: Train on so many images only.
        val_subset: Validate on so many images only.
        holdout: Keep so many training images out, always the same ones, and validate on these: for choices that the
            test images must not see. Left out, validation is on the set's own validation (or test) images.
        epochs: Passes through the training images.
        batch_size: Images in a batch, over all devices.
        optimizer: What moves the weights.
        schedule: The learning rate over time.
        loss: What is made smaller: the loss of the readout's decision, or of the answers at several steps.
        augment: What is done to the training images; left out, what is usual for the set.
        clip: Largest norm of the gradient (of all parameters together); 0 for no limit.
        ema_decay: What is kept in each batch of a moving average of the weights, which is then what is validated and
            saved as the run's weights; 0 for none.
        whiten: Begins with a first layer that whitens patches of the training images; see
            `ventralstream.training.whitening`. A saved network that is trained on keeps its own.
        precision: "32"; "bf16" and "16" compute convolutions and the like in half precision (automatic mixed
            precision), weights staying in 32 bits.
        seed: Of the weights, the order of the images, their augmentation and dropout.
        remat: Recomputes activations in the backward pass: less memory, more time, the same numbers but for rounding.
        compile: Compiles the areas with torch.compile.
        accumulate: Micro-batches in a batch, one after the other: less memory, the same gradient (of a normalisation
            by batch statistics, those of each micro-batch).
        sync_norm: Whether a normalisation by batch statistics takes those of the whole batch, over all devices; else
            each device takes those of its share.
        tbptt: Steps in a chunk of truncated backpropagation through time: the gradient does not reach back beyond a
            chunk, and memory does not grow with the steps. Left out, the whole unroll is one.
    """

    data: str = "cifar10"
    size: Pixels | None = None
    subset: Count | None = None
    val_subset: Count | None = None
    holdout: Count | None = None
    epochs: Count = 20
    batch_size: Count = 64
    optimizer: Optimizer = SGD()  # noqa: RUF009 - frozen
    schedule: Schedule = Schedule()  # noqa: RUF009
    loss: Loss = DecisionLoss()  # noqa: RUF009
    augment: Augment | None = None
    clip: Amount = 1.0
    ema_decay: Fraction = 0.0
    whiten: bool = False
    precision: Literal["32", "bf16", "16"] = "32"
    seed: Seed = 0
    remat: bool = False
    compile: bool = False
    accumulate: Count = 1
    sync_norm: bool = False
    tbptt: Count | None = None

    def check(self) -> None:
        if self.schedule.warmup > self.epochs:
            raise VentralError(
                f"the schedule's warmup of {self.schedule.warmup:g} epochs is longer than the run of {self.epochs}"
            )


@tagged("place")
@dataclass(frozen=True)
class Place(Spec):
    """Where a run takes place; it may change when the run is resumed.

    Attributes:
        root: Folder of the image set ("scenes" needs none); left out, the one that VENTRALSTREAM_DATA names at the
            beginning.
        device: "auto" takes a GPU if there is one; "gpu" is "cuda" or "mps" (Apple's), whichever is there.
        devices: Processes and devices that share each batch.
        threads: Processor threads for torch; left out, torch's choice. Another number changes the last digits.
        workers: Processes that decode images, for sets on disk.
        checkpoint_every: Seconds between checkpoints; there is one at the end of each epoch in any case.
    """

    root: str | None = None
    device: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Processes = 1
    threads: Processes | None = None
    workers: Annotated[int, Within(0, 4096)] = 2
    checkpoint_every: Annotated[float, Within(0, 1e9)] = 60.0
