"""`ventral evaluate`: a network's accuracy at every step, and with early answers."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.opened import open_told
from ventralstream.errors import VentralError, printable, unknown
from ventralstream.jsonable import make, spec_class, tags

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from ventralstream.data import LabelledSet
    from ventralstream.models.create import Opened
    from ventralstream.readout import Readout
    from ventralstream.training.folder import RunFolder


MODEL = typer.Argument(
    help="Folder of a training run; or of a saved network (`ventral convert`, `save_network`), or NAME:TAG, a"
    " registered model with weights (`ventral list --weights`), which need --data."
)


def evaluate(
    model: str = MODEL,
    steps: int | None = typer.Option(
        None, help="Steps to unroll for, also more than in training.", show_default="the model's"
    ),
    readout: str | None = typer.Option(
        None,
        help="How a decision is made of all steps: last, mean, max_confidence, threshold or per_step.",
        show_default="the model's",
    ),
    threshold: float | None = typer.Option(
        None, help="Also answer early: at the first step with a confidence of so much (0 to 1)."
    ),
    views: str | None = typer.Option(
        None,
        help="Also decide from several views of each image (test-time augmentation): mirrored (2) or ten (mirrored and"
        " shifted). This is reported apart; the accuracy is that of one view.",
    ),
    data: str | None = typer.Option(
        None,
        help="Image set, with the same classes: cifar10, cifar100, folder, packed or scenes.",
        show_default="a run's own",
    ),
    root: options.Root = None,
    subset: options.Subset = None,
    batch_size: options.BatchSize = 250,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    config: Path | None = CONFIG,
) -> None:
    """Measure a network's accuracy at every step, on the images held out of its training.

    A run knows its images and classes. A saved network is shown those of --data, at the size and with the mean and
    standard deviation of its spec. Its logits are those of the set's classes in their order, unless its
    provenance.json names its classes.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise VentralError(f"the threshold is a probability between 0 and 1, got {threshold}")
    how = None if readout is None else readout_of(readout)

    from ventralstream.data import Loader
    from ventralstream.device import choose_device
    from ventralstream.evaluation import VIEWS, accuracy_of_views, accuracy_per_step, early_exit
    from ventralstream.progress import print_plainly, stdout_console
    from ventralstream.training.folder import RECIPE, open_run
    from ventralstream.training.recipe import Place

    if views is not None and views not in VIEWS:
        raise unknown("set of views", views, VIEWS)
    _refuse_untrained(model)
    run = open_run(model) if (Path(model) / RECIPE).is_file() else None
    options.use_threads(threads)
    where = choose_device(device)
    opened, note = open_told(model)
    network = opened.network.to(where)
    images = _chosen(model, opened, data, root, subset) if run is None else _held_out(run, data, root, subset)
    if images.passed_over:
        typer.echo(images.passed_over, err=True)
    workers = (Place() if run is None else run.place).workers
    loader = Loader(images, batch_size, train=False, device=where, workers=workers)
    found = accuracy_per_step(network, _watched("evaluating", loader, len(images)), steps, how)
    early = None
    if threshold is not None:
        early = early_exit(network, _watched("answering early", loader, len(images)), threshold, steps)

    averaged = None
    if views is not None:
        averaged = accuracy_of_views(network, _watched("several views", loader, len(images)), views, steps, how)

    trained = None if run is None else network.spec.steps
    if as_json:
        result: dict[str, Any] = {"model": model, "data": images.info.name, "trained_steps": trained, "note": note}
        result |= dataclasses.asdict(found)
        if early is not None:
            result["early_exit"] = dataclasses.asdict(early)
        if averaged is not None:
            result["several_views"] = dataclasses.asdict(averaged)
        typer.echo(json.dumps(result, indent=1))
        return
    console = stdout_console()
    console.print(f"{printable(network.spec.name)} on {found.images} images of {images.info.name}:", soft_wrap=True)
    console.print(accuracy_table(zip(found.steps, found.times_ms, found.accuracy, strict=True), trained))
    console.print(f"readout {(how or network.spec.readout).tag}: {found.decision:.1%}")
    if early is not None:
        console.print(
            f"answers at a confidence of {threshold}: {early.accuracy:.1%}, on average at step"
            f" {early.mean_step:.2f} ({early.mean_ms:.1f} ms; median step {early.median_step},"
            f" {early.median_ms:.0f} ms);"
            f" {early.confident:.1%} of the images reached it",
            soft_wrap=True,
        )
    if averaged is not None:
        console.print(
            f"with test-time augmentation, from {averaged.views} views of each image: {averaged.accuracy:.1%}",
            soft_wrap=True,
        )
    if note:
        print_plainly(console, note)


def _watched(what: str, batches: Iterable[tuple[Tensor, Tensor]], images: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, with how far they are on stderr."""
    from ventralstream.progress import Progress

    with Progress(what, images, "images", every=5.0) as progress:
        for batch, labels in batches:
            yield batch, labels
            progress.update(progress.done + len(labels))


def accuracy_table(rows: Iterable[tuple[int, float, float]], trained: int | None = None) -> Table:
    """A table of (step, milliseconds, accuracy from 0 to 1); the last of the `trained` steps is marked."""
    from rich.table import Table

    table = Table(box=None)
    for name in ("step", "time", "accuracy"):
        table.add_column(name, justify="right")
    table.add_column("")
    for step, ms, accuracy in rows:
        mark = "<- trained until here" if trained is not None and step == trained - 1 else ""
        table.add_row(str(step), f"{ms:g} ms", f"{accuracy:.1%}", mark)
    return table


def readout_of(name: str) -> Readout:
    """The readout of a name, with its defaults."""
    from ventralstream.readout import Readout

    if name not in tags(Readout):
        raise unknown("readout", name, tags(Readout))
    readout: Readout = make(spec_class(name), {})
    return readout


def _refuse_untrained(model: str) -> None:
    """Raises VentralError if there is no such folder, nor weights by name; a model's name alone has none."""
    from ventralstream.models import list_models, list_weights

    if Path(model).is_dir() or ":" in model:
        return
    if model in list_models():
        some = list_weights(model)
        raise VentralError(
            f"the registered model '{model}' has untrained weights; expected the folder of a run or of a saved network"
            + (f", or {' or '.join(some)}" if some else "")
        )
    raise VentralError(f"'{model}' is neither a training run nor a saved network: there is no such folder")


def _held_out(run: RunFolder, data: str | None, root: Path | None, subset: int | None) -> LabelledSet:
    """The images to evaluate a run on, preprocessed as in the training."""
    from ventralstream.data import load_set

    recipe, trained = run.recipe, run.data
    if data is None and recipe.holdout is not None:
        from ventralstream.training.split import load_sets

        place = run.place if root is None else run.place.replace(root=str(root))
        return load_sets(recipe.replace(val_subset=subset or recipe.val_subset), place)[1]
    name = data or recipe.data
    same = name == recipe.data
    images = load_set(
        name,
        root or (run.place.root if same else None),
        "val",
        size=None if name.startswith("cifar") else trained.preprocessing.size,
        subset=subset or (recipe.val_subset if same else None),
    )
    if images.info.classes != trained.classes:
        raise VentralError(
            f"'{run.path}' was trained on the classes of '{trained.name}', those of '{name}' are others:"
            f" {', '.join(images.info.classes[:3])}, ..."
        )
    return dataclasses.replace(images, info=images.info.replace(preprocessing=trained.preprocessing))


def _chosen(model: str, opened: Opened, data: str | None, root: Path | None, subset: int | None) -> LabelledSet:
    """The images to evaluate a saved network on, at its size and normalised as it wants them."""
    from ventralstream.data import SETS, FolderSet, load_set

    spec = opened.network.spec
    if data is None:
        raise VentralError(f"'{model}' is a saved network, not a run: name its images with --data ({', '.join(SETS)})")
    channels, height, width = spec.input_shape
    if height != width:
        raise VentralError(f"'{spec.name}' takes images of {height} x {width} pixels; image sets have square ones")
    images = load_set(data, root, "val", size=None if data.startswith("cifar") else height, subset=subset)
    preprocessing = images.info.preprocessing
    if preprocessing.channels != channels and not isinstance(images, FolderSet):  # files are read as they are wanted
        raise VentralError(
            f"'{spec.name}' takes images of {channels} channels, those of '{data}' have {preprocessing.channels}"
        )
    preprocessing = preprocessing.replace(mean=spec.mean, std=spec.std)
    numbers = _class_numbers(model, opened, images.info.classes, data)
    info = images.info.replace(preprocessing=preprocessing)
    return dataclasses.replace(images, info=info, labels=numbers[images.labels])


def _class_numbers(model: str, opened: Opened, classes: tuple[str, ...], data: str) -> Tensor:
    """Of each class of a set, which of the network's logits is its."""
    import torch

    from ventralstream.models.classes import count_classes

    known, count = opened.class_names, count_classes(opened.network.spec)
    if known and len(known) != count:
        raise VentralError(f"'{model}' tells {count} classes apart, but names {len(known)}")
    # ImageNet's folders are usually named by WordNet's numbers, whose order is that of its classes.
    by_order = not known or (_are_numbers(classes) and not _are_numbers(known))
    if by_order and len(classes) != count:
        raise VentralError(f"'{model}' tells {count} classes apart, '{data}' has {len(classes)}")
    if by_order:
        return torch.arange(count)
    for name in classes:
        if name not in known:
            raise unknown("class", name, known, f" of the network '{model}'")
    return torch.tensor([known.index(name) for name in classes])


def _are_numbers(names: tuple[str, ...]) -> bool:
    return all(re.fullmatch(r"n\d{8}", name) for name in names)
