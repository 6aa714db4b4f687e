"""`ventral evaluate`: a trained network's accuracy at every step, and with early answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ventralstream.cli.config import CONFIG
from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import make, spec_class, tags

if TYPE_CHECKING:
    from rich.table import Table

    from ventralstream.data import FolderSet, MemorySet
    from ventralstream.readout import Readout
    from ventralstream.training.folder import RunFolder


RUN = typer.Argument(help="Folder of a training run.")


def evaluate(
    run: Path = RUN,
    steps: int | None = typer.Option(
        None, help="Steps to unroll for, also more than in training.", show_default="as in training"
    ),
    readout: str | None = typer.Option(
        None,
        help="How a decision is made of all steps: last, mean, max_confidence, threshold or per_step.",
        show_default="as in training",
    ),
    threshold: float | None = typer.Option(
        None, help="Also answer early: at the first step with a confidence of so much (0 to 1)."
    ),
    data: str | None = typer.Option(
        None,
        help="Image set, with the same classes: cifar10, cifar100, folder or scenes.",
        show_default="as in training",
    ),
    root: str | None = typer.Option(None, help="Folder that holds the image set.", show_default="as in training"),
    subset: int | None = typer.Option(None, help="Take only so many images.", show_default="all"),
    batch_size: int = typer.Option(250, help="Images at a time."),
    threads: int | None = typer.Option(None, help="Processor threads to use.", show_default="torch's choice"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    config: Path | None = CONFIG,
) -> None:
    """Measure a trained network's accuracy at every step, on the images held out of its training."""
    from rich.console import Console

    if threshold is not None and not 0 <= threshold <= 1:
        raise VentralError(f"the threshold is a probability between 0 and 1, got {threshold}")
    how = None if readout is None else readout_of(readout)

    import torch

    from ventralstream.data import Loader
    from ventralstream.evaluation import accuracy_per_step, early_exit
    from ventralstream.training.folder import open_run

    folder = open_run(run)
    if threads is not None:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = folder.load_network().to(device)
    images = _held_out(folder, data, root, subset)
    loader = Loader(images, batch_size, train=False, device=device, workers=folder.place.workers)
    found = accuracy_per_step(network, loader, steps, how)
    early = None if threshold is None else early_exit(network, loader, threshold, steps)

    trained = network.spec.steps
    if as_json:
        result: dict[str, Any] = {"run": str(run), "data": images.info.name, "trained_steps": trained}
        result |= dataclasses.asdict(found)
        if early is not None:
            result["early_exit"] = dataclasses.asdict(early)
        typer.echo(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(f"{network.spec.name} on {found.images} images of {images.info.name}:", soft_wrap=True)
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


def _held_out(folder: RunFolder, data: str | None, root: str | None, subset: int | None) -> MemorySet | FolderSet:
    """The images to evaluate on, preprocessed as in the training."""
    from ventralstream.data import load_set

    recipe, trained = folder.recipe, folder.data
    name = data or recipe.data
    same = name == recipe.data
    images = load_set(
        name,
        root or (folder.place.root if same else None),
        "val",
        size=None if name.startswith("cifar") else trained.preprocessing.size,
        subset=subset or (recipe.val_subset if same else None),
    )
    if images.info.classes != trained.classes:
        raise VentralError(
            f"'{folder.path}' was trained on the classes of '{trained.name}', those of '{name}' are others:"
            f" {', '.join(images.info.classes[:3])}, ..."
        )
    return dataclasses.replace(images, info=images.info.replace(preprocessing=trained.preprocessing))
