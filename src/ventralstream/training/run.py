"""Training runs: `train` begins one, `resume` carries one on exactly where it stopped."""

from __future__ import annotations

import logging
import random
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from ventralstream.checkpoints import load_network
from ventralstream.data import SETS, Fingerprint, LabelledSet, Loader, SetInfo
from ventralstream.data.augment import Augment
from ventralstream.data_root import data_root
from ventralstream.device import choose_device
from ventralstream.errors import Interrupted, VentralError, about_file
from ventralstream.files import write_text
from ventralstream.interrupt import Interruption
from ventralstream.models import build, list_models, model_spec, open_model
from ventralstream.models.classes import fresh_readout
from ventralstream.network import Network
from ventralstream.progress import print_plainly, stderr_console
from ventralstream.readout import Readout
from ventralstream.spec import NetworkSpec, spec_from_json
from ventralstream.timing import first_steps
from ventralstream.training.checkpoint import checkpoints, position
from ventralstream.training.fitting import check_channels
from ventralstream.training.folder import (
    CHECKPOINTS,
    Checkpoint,
    RunFolder,
    alone,
    check_is_run,
    created_run,
    recover,
    refuse_used,
)
from ventralstream.training.launch import Crew, crew
from ventralstream.training.metrics import read_rows
from ventralstream.training.recipe import Place, Recipe
from ventralstream.training.screen import Screen
from ventralstream.training.session import AfterBatch, AfterEpoch, Hooks, Session
from ventralstream.training.split import Sets, load_sets
from ventralstream.training.task import accuracy_name
from ventralstream.training.whitening import whiten

_FITTED_IMAGES = 1000  # that a first layer is fitted to


@dataclass(frozen=True)
class Result:
    """What a complete run came to.

    Attributes:
        folder: The run's folder.
        epochs: The epochs trained.
        decision: Validation accuracy of the network's readout after the last epoch, 0 to 1.
        accuracy: The same of the logits of each step, from the first that the image drives.
        dt_ms: Milliseconds per step.
        pflop: What training has cost, in 10^15 operations; see `ventralstream.cost.training_flops`.
        was_complete: Whether there was nothing left to do.
    """

    folder: Path
    epochs: int
    decision: float
    accuracy: dict[int, float]
    dt_ms: float
    pflop: float
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
    after_batch: AfterBatch | None = None,
    after_epoch: AfterEpoch | None = None,
) -> Result:
    """Trains a network from the beginning.

    Args:
        model: A registered model's name, a spec, the path of a `config.json`, or a network (or the folder of a
            saved one, or NAME:TAG) to train on. A registered model gets the classes of the image set, and so does a
            network, whose readout is fresh then (`FreshReadout` says so); specs must fit.
        recipe: How.
        out: The run's folder (see `ventralstream.training.folder`); it must not exist, or be empty.
        place: Where; this machine's defaults if None.
        steps: Steps to run in training, and by default afterwards; the model's own if None.
        readout: What the loss and the network's decisions are made of; the model's own if None.
        console: Where progress is shown; None shows nothing.
        after_batch, after_epoch: Called as the run goes on; see `ventralstream.training.session.Hooks`.

    Raises:
        VentralError: for bad input, in one sentence, before anything is written; if the loss, a gradient or the
            weights are not finite, or the disk is full: then the run can be carried on from its last checkpoint.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP; what was done is saved.
    """
    place, path, hooks = place or Place(), Path(out), Hooks(after_batch, after_epoch)
    with crew() as others, _told(path):
        if others.rank > 0:
            return _follow(path, others, console, hooks)
        place = others.placed(place, place.devices)
        refuse_used(path)
        place = _noted(place, recipe)
        opened, network, sets = _made(model, recipe, place, steps, readout)
        if recipe.whiten and isinstance(opened, NetworkSpec):  # else it comes with weights of its own
            whiten(network, _some(sets[0], recipe.seed))
        prints = _fingerprints(sets)
        start = Checkpoint(0, 0, recipe, network.spec, sets[0].info, prints, place, network.state_dict())
        with created_run(path, start) as run:
            return _carry_on(run, start, place, sets, others, console, hooks)


def trained_spec(model: str | Path | NetworkSpec | Network, recipe: Recipe, place: Place | None = None) -> NetworkSpec:
    """The network that `train` would train, with the images' size: all is checked as there, and nothing written.

    Args:
        model, recipe, place: As for `train`.

    Raises:
        VentralError: as `train` does for bad input.
    """
    return _made(model, recipe, _noted(place or Place(), recipe), None, None)[1].spec


def resume(
    out: str | Path,
    *,
    place: Place | None = None,
    changes: Mapping[str, Any] | None = None,
    console: Console | None = None,
    after_batch: AfterBatch | None = None,
    after_epoch: AfterEpoch | None = None,
) -> Result:
    """Carries a run on from its newest whole checkpoint to its end.

    The weights are those of a run that was never interrupted, to the last bit where the arithmetic is
    repeatable (on processors it is, with as many threads). What is damaged in the folder is restored from the
    checkpoint, and said on `console`, or else on stderr.

    Args:
        out: The run's folder.
        place: Where; where the last session ran if None.
        changes: What is different there, by the names of the place's fields.
        console, after_batch, after_epoch: As for `train`.

    Raises:
        VentralError: if the folder holds no run or no whole checkpoint, or its images are missing or others;
            and as for `train`.
        Interrupted: As for `train`.
    """
    path, changes, hooks = Path(out), dict(changes or {}), Hooks(after_batch, after_epoch)
    with crew() as others, _told(path):
        if others.rank > 0:
            return _follow(path, others, console, hooks)
        check_is_run(path)
        with alone(path):
            run, start = recover(path, partial(print_plainly, console or stderr_console()), repair=True)
            asked = place.devices if place is not None else 1
            place = others.placed((place or run.place).replace(**changes), changes.get("devices", asked))
            place = _noted(place, run.recipe)
            if start.epoch >= run.recipe.epochs:
                write_text(run.metrics, start.metrics)
                return _result(run, start.spec, was_complete=True)
            sets = load_sets(run.recipe, place)
            _check_same(run, sets, place)
            _check(start.spec, run.recipe, place, sets)
            return _carry_on(run, start, place, sets, others, console, hooks)


def _made(
    model: str | Path | NetworkSpec | Network, recipe: Recipe, place: Place, steps: int | None, readout: Readout | None
) -> tuple[NetworkSpec | Network, Network, Sets]:
    """What is trained, the network made of it, and the images."""
    sets = load_sets(recipe, place)
    opened = _opened(model, sets[0].info.num_classes)
    network = _network(opened, sets[0].info, recipe.seed, steps, readout)
    _check(network.spec, recipe, place, sets)
    return opened, network, sets


def _noted(place: Place, recipe: Recipe) -> Place:
    """The place with the folder of its images in full: the next session may be in another folder, or environment."""
    if place.root is not None:
        return place.replace(root=str(Path(place.root).absolute()))
    if recipe.data in SETS and recipe.data != "scenes":
        return place.replace(root=str(Path(data_root(None, recipe.data)).absolute()))
    return place


def _follow(path: Path, others: Crew, console: Console | None, hooks: Hooks) -> Result:
    """In a further process of a run: does what the first one found in the folder, or put there."""
    others.wait()
    run, start = recover(path, lambda damage: None, repair=False)
    if start.epoch >= run.recipe.epochs:
        return _result(run, start.spec, was_complete=True)
    sets = load_sets(run.recipe, run.place)
    _check_same(run, sets, run.place)
    return _carry_on(run, start, run.place, sets, others, console, hooks)


def _fingerprints(sets: Sets) -> tuple[Fingerprint, ...]:
    """Of the images on disk, to train and to validate on; sets in memory are checked when they are loaded."""
    return tuple(filter(None, (data.fingerprint() for data in sets)))


def _check_same(run: RunFolder, sets: Sets, place: Place) -> None:
    """Raises VentralError if the images are not those that the run was begun with."""
    now = _fingerprints(sets)
    changes = [before.difference(after) for before, after in zip(run.fingerprints, now, strict=False)]
    if sets[0].info != run.data:
        changes = ["they have other classes or another size"]
    if changed := next(filter(None, changes), ""):
        raise VentralError(
            f"the images in '{place.root}' are not those that '{run.path}' was begun with: {changed}; put them back,"
            " or begin a new run"
        )


def _carry_on(
    run: RunFolder,
    start: Checkpoint,
    place: Place,
    sets: Sets,
    others: Crew,
    console: Console | None,
    hooks: Hooks,
) -> Result:
    recipe = run.recipe
    _check_shares(recipe, place)
    with Interruption() as stop, _quiet_lightning(), torch.random.fork_rng():
        if place.threads is not None:
            torch.set_num_threads(place.threads)
        if others.rank == 0:
            run.begin_session(place, start)  # before the others begin, which read it
        fabric = others.fabric(place, recipe.precision, stop, partial(print_plainly, stderr_console()))
        if console is None or others.rank > 0:
            console = Console(quiet=True)
        for passed_over in filter(None, (data.passed_over for data in sets)):
            print_plainly(console, passed_over)
        batches = len(sets[0]) // recipe.batch_size
        screen = Screen(recipe.epochs, batches, start.epoch * batches + start.batch, console)
        session = Session(run, start, fabric, sets, place, screen, stop, hooks)
        with screen:
            session.fit()
    return _result(run, start.spec, was_complete=False)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Says where a run stands that a signal or a full disk has ended, and how to carry on."""
    carry_on = f"carry on with: ventral train --resume {shlex.quote(str(path))}"
    try:
        yield
    except KeyboardInterrupt as error:
        code = error.code if isinstance(error, Interrupted) else Interrupted().code
        if (standing := _standing(path)) is None:
            raise Interrupted("interrupted before training began; begin again with the same command", code) from None
        raise Interrupted(f"interrupted {standing}; {carry_on}", code) from None
    except OSError as error:
        told = about_file(error)
        raise VentralError(f"{told}; when that is mended, {carry_on}" if _standing(path) else told) from None


def _standing(path: Path) -> str | None:
    """Where a run can go on; None if it cannot."""
    try:
        epoch, batch = position(checkpoints(path / CHECKPOINTS)[-1].name)
    except (OSError, IndexError):
        return None
    if not batch:
        return f"after epoch {epoch}" if epoch else "before the first batch"
    return f"after batch {batch} of epoch {epoch + 1}"


def _opened(model: str | Path | NetworkSpec | Network, num_classes: int) -> NetworkSpec | Network:
    """What is trained, or trained on."""
    if isinstance(model, str) and model in list_models():
        return model_spec(model, num_classes=num_classes)
    return _read(model) if isinstance(model, (str, Path)) else model


def _network(
    model: NetworkSpec | Network,
    data: SetInfo,
    seed: int,
    steps: int | None,
    readout: Readout | None,
) -> Network:
    """The network with its first weights, made for the images of a set."""
    images = data.preprocessing
    if isinstance(model, Network):
        check_channels(model.spec, data)
        model = fresh_readout(model, data.num_classes, seed, stacklevel=4)
    spec = model if isinstance(model, NetworkSpec) else model.spec
    spec = spec.replace(
        steps=spec.steps if steps is None else steps, readout=spec.readout if readout is None else readout
    )
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


def _some(images: LabelledSet, seed: int) -> Tensor:
    """Some training images, as they are and normalised."""
    count = min(len(images), _FITTED_IMAGES)
    batch, _ = next(iter(Loader(images, count, train=True, augment=Augment(), seed=seed)))
    return batch


def _read(model: str | Path) -> NetworkSpec | Network:
    """The saved network, or else the spec, at a path; or the weights by name (NAME:TAG)."""
    path = Path(model)
    if not path.exists() and ":" in str(model):
        return open_model(model).network
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
    recipe.loss.check_fits(spec)
    if recipe.tbptt is not None:
        recipe.loss.by_step(spec, recipe.loss.view(spec, random.Random(0)))  # refuses what needs all steps at once
    Loader(sets[0], recipe.batch_size, train=True, seed=recipe.seed, workers=place.workers)  # refuses a batch too large
    _check_shares(recipe, place)
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if place.device == "gpu" and not gpu:
        raise VentralError("there is no GPU here that torch can use; leave --device at 'auto' or give 'cpu'")
    if place.device in ("cuda", "mps"):
        choose_device(place.device)
    if recipe.precision == "16" and (place.device == "cpu" or not gpu):
        raise VentralError("precision '16' needs a GPU; processors train in 'bf16' or '32'")


def _check_shares(recipe: Recipe, place: Place) -> None:
    parts = f"{place.devices} devices" if place.devices > 1 else ""
    if recipe.accumulate > 1:
        parts += f"{' with ' if parts else ''}{recipe.accumulate} micro-batches{' each' if parts else ''}"
    if recipe.batch_size % (place.devices * recipe.accumulate):
        raise VentralError(f"a batch of {recipe.batch_size} images cannot be shared by {parts} evenly")


def _result(run: RunFolder, spec: NetworkSpec, was_complete: bool) -> Result:
    rows = [row for row in read_rows(run.metrics) if row["val_accuracy"]]
    if not rows:
        raise VentralError(f"'{run.metrics}' has no row of a whole epoch")
    first = first_steps(spec)[spec.readout_area]
    accuracy = {step: float(rows[-1][accuracy_name(step)]) for step in range(first, spec.steps)}
    decision, pflop = (float(rows[-1][name]) for name in ("val_accuracy", "pflop"))
    return Result(run.path, len(rows), decision, accuracy, spec.dt_ms, pflop, was_complete)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keeps Lightning's notes, tips and warnings off the screen: what a user must know, we say ourselves."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\b")
            # of a convolution of one channel, which is laid out in two ways at once
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
