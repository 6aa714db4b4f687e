"""Training runs: `train` begins one, `resume` carries one on exactly where it stopped."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from rich.console import Console

from ventralstream.checkpoints import load_network, load_spec
from ventralstream.data import FolderSet, Loader, MemorySet, SetInfo, load_set
from ventralstream.errors import VentralError
from ventralstream.models import build, list_models, model_spec
from ventralstream.network import Network
from ventralstream.readout import Readout
from ventralstream.spec import NetworkSpec, spec_from_json
from ventralstream.timing import check_driven, first_steps
from ventralstream.training.checkpoint import FolderCheckpointIO
from ventralstream.training.folder import TENSORBOARD, RunFolder, create_run, open_run, refuse_used
from ventralstream.training.metrics import CsvMetrics, read_rows
from ventralstream.training.recipe import Place, Recipe
from ventralstream.training.saving import Checkpoints
from ventralstream.training.screen import Screen
from ventralstream.training.task import Task, accuracy_name, metric_names

Sets = tuple[MemorySet | FolderSet, MemorySet | FolderSet]  # to train on, to validate on

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


@dataclass(frozen=True)
class Result:
    """What a complete run came to.

    Attributes:
        folder: The run's folder.
        epochs: The epochs trained.
        decision: Validation accuracy of the network's readout after the last epoch, 0 to 1.
        accuracy: The same of the logits of each step, from the first that the image drives.
        dt_ms: Milliseconds per step.
        was_complete: Whether there was nothing left to do.
    """

    folder: Path
    epochs: int
    decision: float
    accuracy: dict[int, float]
    dt_ms: float
    was_complete: bool


def train(
    model: str | Path | NetworkSpec | Network,
    recipe: Recipe,
    out: str | Path,
    *,
    place: Place | None = None,
    steps: int | None = None,
    readout: Readout | None = None,
    console: Console | None = None,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Trains a network from the beginning.

    Args:
        model: A registered model's name, a spec, the path of a `config.json`, or a network (or the folder of a
            saved one) to train on. A registered model gets the classes of the image set; others must fit.
        recipe: How.
        out: The run's folder (see `ventralstream.training.folder`); it must not exist, or be empty.
        place: Where; this machine's defaults if None.
        steps: Steps to run in training, and by default afterwards; the model's own if None.
        readout: What the loss and the network's decisions are made of; the model's own if None.
        console: Where progress is shown; None shows nothing.
        callbacks: More callbacks for Lightning's trainer.

    Raises:
        VentralError: for bad input, in one sentence, before anything is written.
    """
    place = place or Place()
    if not is_first_process():  # a further process of the same run, which finds it begun
        return resume(out, place=place, console=console, callbacks=callbacks)
    refuse_used(Path(out))
    sets = _load_sets(recipe, place)
    network = _network(model, sets[0].info, recipe.seed, steps, readout)
    _check(network.spec, recipe, place, sets)
    create_run(Path(out), network, recipe, sets[0].info)
    return _carry_on(open_run(out), place, sets, console, callbacks)


def resume(
    out: str | Path,
    *,
    place: Place | None = None,
    console: Console | None = None,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Carries a run on from its newest checkpoint (from the beginning if there is none) to its end.

    The weights are those of a run that was never interrupted, to the last bit where the arithmetic is
    repeatable (on processors it is, with as many threads).

    Args:
        out: The run's folder.
        place: Where; where the last session ran if None.
        console, callbacks: As for `train`.

    Raises:
        VentralError: if the folder holds no run, its newest checkpoint is broken, or its images are missing.
    """
    run = open_run(out)
    place = place or run.place
    if run.complete:
        run.update_weights()  # the last session may have died just before it did
        return _result(run, was_complete=True)
    sets = _load_sets(run.recipe, place)
    if sets[0].info != run.data:
        raise VentralError(f"the image set in '{place.root}' is not the one that '{out}' was begun with")
    return _carry_on(run, place, sets, console, callbacks)


def is_first_process() -> bool:
    """Whether this is the only process of the run, or the first of several."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK"))


def _carry_on(
    run: RunFolder, place: Place, sets: Sets, console: Console | None, callbacks: Sequence[Callback]
) -> Result:
    if place.threads is not None:
        torch.set_num_threads(place.threads)
    if is_first_process():
        run.begin_session(place)
    with _quiet_lightning(), torch.random.fork_rng():
        _fit(run, place, sets, console or Console(quiet=True), callbacks)
    return _result(run, was_complete=False)


def _fit(run: RunFolder, place: Place, sets: Sets, console: Console, callbacks: Sequence[Callback]) -> None:
    recipe, network, checkpoint = run.recipe, run.load_network().train(), run.checkpoint
    batches = len(sets[0]) // recipe.batch_size
    epoch, batch = run.position
    step = epoch * batches + batch
    try:
        trainer = Trainer(
            max_epochs=recipe.epochs,
            accelerator=place.accelerator,
            devices=place.devices,
            precision=PRECISIONS[recipe.precision],
            gradient_clip_val=recipe.clip,
            logger=[
                CsvMetrics(run.metrics, metric_names(network), step),
                TensorBoardLogger(run.path, TENSORBOARD, "", default_hp_metric=False, purge_step=step + 1),
            ],
            callbacks=[
                Screen(recipe.epochs, batches, console),
                *callbacks,
                Checkpoints(run, place.checkpoint_every),
            ],
            plugins=[FolderCheckpointIO()],
            default_root_dir=run.path,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,  # the task itself logs less often; more draws warnings for small sets
            use_distributed_sampler=False,  # the task shares out each batch
        )
    except MisconfigurationException as error:
        raise VentralError(f"this machine cannot run it: {str(error).strip().splitlines()[0]}") from None
    train_loader, val_loader = (
        Loader(
            data,
            recipe.batch_size,
            train=data is sets[0],
            seed=recipe.seed,
            device=trainer.strategy.root_device,
            workers=place.workers,
        )
        for data in sets
    )
    if recipe.compile:
        network.compile()
    task = Task(network, recipe, batches)
    try:
        trainer.fit(task, train_loader, val_loader, ckpt_path=str(checkpoint) if checkpoint else None)
    except SystemExit:  # how Lightning ends after Ctrl-C
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise


def _load_sets(recipe: Recipe, place: Place) -> Sets:
    """The sets to train and to validate on; which images they hold does not depend on the recipe's seed."""
    root, size = place.root, recipe.size
    return (
        load_set(recipe.data, root, "train", size=size, subset=recipe.subset),
        load_set(recipe.data, root, "val", size=size, subset=recipe.val_subset),
    )


def _network(
    model: str | Path | NetworkSpec | Network,
    data: SetInfo,
    seed: int,
    steps: int | None,
    readout: Readout | None,
) -> Network:
    """The network with its first weights, made for the images of a set."""
    if isinstance(model, str) and model in list_models():
        model = model_spec(model, num_classes=data.num_classes)
    elif isinstance(model, (str, Path)):
        model = _read(Path(model))
    spec = model if isinstance(model, NetworkSpec) else model.spec
    spec = spec.replace(
        steps=spec.steps if steps is None else steps, readout=spec.readout if readout is None else readout
    )
    images = data.preprocessing
    shape = (images.channels, images.size, images.size)
    try:
        network = build(spec.replace(input_shape=shape, mean=images.mean, std=images.std), seed)
        if isinstance(model, Network):
            network.load_state_dict(model.state_dict())
    except (VentralError, RuntimeError) as error:
        raise VentralError(
            f"'{spec.name}' does not fit the images of '{data.name}', which are {shape}: {' '.join(str(error).split())}"
        ) from None
    return network


def _read(path: Path) -> NetworkSpec | Network:
    """The saved network, or else the spec, at a path."""
    if path.is_dir():
        return load_network(path)
    if path.is_file():
        return spec_from_json(path.read_text())
    if path.suffix == ".json" or len(path.parts) > 1:
        raise VentralError(f"there is no spec and no saved network at '{path}'")
    return model_spec(str(path))  # raises: not a registered name, and names the nearest one


def _check(spec: NetworkSpec, recipe: Recipe, place: Place, sets: Sets) -> None:
    """Raises VentralError for what would fail, or train on nothing, later."""
    (classes,) = spec.shapes().output[spec.readout_area]
    data = sets[0].info
    if classes != data.num_classes:
        raise VentralError(f"'{spec.name}' tells {classes} classes apart, '{data.name}' has {data.num_classes}")
    check_driven(spec, spec.steps, readout=spec.readout)
    Loader(sets[0], recipe.batch_size, train=True, seed=recipe.seed, workers=place.workers)  # refuses a batch too large
    if recipe.batch_size % place.devices:
        raise VentralError(f"a batch of {recipe.batch_size} images cannot be shared by {place.devices} devices evenly")
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if place.accelerator == "gpu" and not gpu:
        raise VentralError("there is no GPU here that torch can use; leave --accelerator at 'auto' or give 'cpu'")
    if recipe.precision == "16" and (place.accelerator == "cpu" or not gpu):
        raise VentralError("precision '16' needs a GPU; processors train in 'bf16' or '32'")


def _result(run: RunFolder, was_complete: bool) -> Result:
    spec = load_spec(run.path)
    rows = [row for row in read_rows(run.metrics) if row["val_accuracy"]]
    if not rows:
        raise VentralError(f"'{run.metrics}' has no row of a whole epoch")
    first = first_steps(spec)[spec.readout_area]
    accuracy = {step: float(rows[-1][accuracy_name(step)]) for step in range(first, spec.steps)}
    return Result(run.path, len(rows), float(rows[-1]["val_accuracy"]), accuracy, spec.dt_ms, was_complete)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keeps Lightning's notes (devices found, tips) off the screen; its warnings stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")  # of Lightning's own doing
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
