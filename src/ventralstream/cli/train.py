"""`ventral train`: train a network, or carry a run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.evaluate import accuracy_table, readout_of
from ventralstream.errors import VentralError, printable, unknown
from ventralstream.jsonable import Spec, make
from ventralstream.training.recipe import OPTIMIZERS, SGD, AdamW, Place, Recipe, Schedule

if TYPE_CHECKING:
    from ventralstream.training.run import Result

WHAT, HOW, WHERE = "What to train", "How", "Where"

OUT = typer.Option(None, help="Folder for the run: weights, recipe, metrics, checkpoints. Must be new or empty.")
RESUME = typer.Option(None, help="Folder of a run that was interrupted: carries it on. Nothing else is needed.")


def train(
    context: typer.Context,
    model: str | None = typer.Argument(
        None,
        help="A registered model (see `ventral list`), the path of a config.json; or what to train on: NAME:TAG (see"
        " `ventral list --weights`), or the folder of a saved network. Not needed with --resume.",
        show_default=False,
    ),
    out: Path | None = OUT,
    resume: Path | None = RESUME,
    data: str = typer.Option(Recipe.data, help="Image set: cifar10, cifar100, folder or scenes.", rich_help_panel=WHAT),
    root: options.Root = None,
    size: int | None = typer.Option(
        None,
        help="Height and width of the images in pixels, for folder and scenes.",
        show_default="224 and 32",
        rich_help_panel=WHAT,
    ),
    subset: options.Subset = None,
    val_subset: int | None = typer.Option(None, help="Validate on so many images only.", rich_help_panel=WHAT),
    steps: options.Steps = None,
    readout: str | None = typer.Option(
        None,
        help="What is trained: the logits of the last step (last), their mean over steps (mean), those of the"
        " most confident step (max_confidence) or of the first with a confidence of 0.9 (threshold), or every"
        " step's (per_step).",
        show_default="the model's",
        rich_help_panel=WHAT,
    ),
    epochs: int = typer.Option(Recipe.epochs, help="Passes through the training images.", rich_help_panel=HOW),
    batch_size: int = typer.Option(Recipe.batch_size, help="Images in a batch, over all devices.", rich_help_panel=HOW),
    optimizer: str = typer.Option(
        Recipe.optimizer.tag, help="sgd (with Nesterov momentum) or adamw.", rich_help_panel=HOW
    ),
    lr: float | None = typer.Option(
        None,
        help="Highest learning rate.",
        show_default=f"sgd {SGD.lr}, adamw {AdamW.lr}",
        rich_help_panel=HOW,
    ),
    momentum: float | None = typer.Option(
        None, help="Of sgd; adamw has none.", show_default=str(SGD.momentum), rich_help_panel=HOW
    ),
    weight_decay: float | None = typer.Option(
        None,
        help="Pull of the weights towards 0; biases and gains have none.",
        show_default=f"sgd {SGD.weight_decay}, adamw {AdamW.weight_decay}",
        rich_help_panel=HOW,
    ),
    schedule: str = typer.Option(
        Schedule.shape,
        help="The learning rate over time: constant, step (drops every so often), cosine (falls to 0) or"
        " onecycle (rises for 30 % of the run, then falls to 0).",
        rich_help_panel=HOW,
    ),
    warmup: float = typer.Option(
        Schedule.warmup, help="Epochs in which the learning rate rises from 0.", rich_help_panel=HOW
    ),
    drop_every: float = typer.Option(
        Schedule.drop_every, help="Epochs between the drops of the schedule step.", rich_help_panel=HOW
    ),
    drop: float = typer.Option(Schedule.drop, help="Factor of each of these drops.", rich_help_panel=HOW),
    clip: float = typer.Option(Recipe.clip, help="Largest norm of the gradient; 0 for no limit.", rich_help_panel=HOW),
    label_smoothing: float = typer.Option(
        Recipe.label_smoothing,
        help="Part of the target's probability that is spread over all classes.",
        rich_help_panel=HOW,
    ),
    precision: str = typer.Option(
        Recipe.precision, help="32, bf16 or 16 (bits of the arithmetic; 16 needs a GPU).", rich_help_panel=HOW
    ),
    seed: int = typer.Option(
        Recipe.seed, help="Seed of weights, order of images, augmentation and dropout.", rich_help_panel=HOW
    ),
    remat: bool = typer.Option(
        Recipe.remat, "--remat", help="Recompute activations: less memory, more time.", rich_help_panel=HOW
    ),
    compile: bool = typer.Option(Recipe.compile, "--compile", help="Compile with torch.compile.", rich_help_panel=HOW),
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "--accelerator",
            help="auto (a GPU if there is one, also Apple's), cpu, gpu, cuda or mps.",
            rich_help_panel=WHERE,
        ),
    ] = Place.accelerator,
    devices: int = typer.Option(Place.devices, help="Devices that share each batch.", rich_help_panel=WHERE),
    threads: options.Threads = None,
    workers: options.Workers = Place.workers,
    checkpoint_every: float = typer.Option(
        Place.checkpoint_every,
        help="Seconds between checkpoints; one is made after each epoch in any case.",
        rich_help_panel=WHERE,
    ),
    config: Path | None = CONFIG,
) -> None:
    """Train a network, or carry a run on with --resume.

    E.g. `ventral train rgc_shallow_cifar --data cifar10 --root DATA --epochs 2 --out RUN`. A run that was
    killed goes on with `ventral train --resume RUN`, exactly as if it had not been.
    """
    params = context.params | {"root": None if root is None else str(root), "accelerator": device}
    given = {name for name in context.params if _is_given(context, name)} - {"resume", "config"}
    if resume is not None:
        names = {f.name for f in fields(Place)} | {"device"}
        if fixed := sorted(given - names):
            left_out = ", ".join(name.upper() if name == "model" else f"--{name.replace('_', '-')}" for name in fixed)
            raise VentralError(f"--resume carries on with the run's own recipe; leave out {left_out}")
        changes = {"accelerator" if name == "device" else name for name in given}
        _resume(resume, {name: params[name] for name in changes})
        return
    if model is None or out is None:
        missing = "a MODEL (see `ventral list`)" if model is None else "a folder for the run, --out RUN"
        raise VentralError(f"training needs {missing}; to carry on with a run, give --resume RUN")
    if optimizer not in OPTIMIZERS:
        raise unknown("optimizer", optimizer, OPTIMIZERS)
    chosen = {name: params[name] for name in ("lr", "momentum", "weight_decay") if params[name] is not None}
    made = {
        "optimizer": make(OPTIMIZERS[optimizer], chosen),
        "schedule": make(Schedule, _of(Schedule, params | {"shape": schedule})),
        "clip": clip or None,
    }
    recipe, place = make(Recipe, _of(Recipe, params | made)), make(Place, _of(Place, params))
    _train(model, recipe, place, out, steps, readout)


def _of(cls: type[Spec], params: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are fields of a spec."""
    return {f.name: params[f.name] for f in fields(cls)}


def _train(model: str, recipe: Recipe, place: Place, out: Path, steps: int | None, readout: str | None) -> None:
    from ventralstream.progress import stderr_console
    from ventralstream.training import run

    how = None if readout is None else readout_of(readout)
    result = run.train(model, recipe, out, place=place, steps=steps, readout=how, console=stderr_console())
    if run.is_first_process():
        _summarise(result)


def _resume(out: Path, place: dict[str, Any]) -> None:
    from ventralstream.progress import stderr_console
    from ventralstream.training import run

    result = run.resume(out, changes=place, console=stderr_console())
    if run.is_first_process():
        _summarise(result)


def _summarise(result: Result) -> None:
    from ventralstream.progress import stdout_console

    state = "was complete already" if result.was_complete else "is complete"
    epochs = f"{result.epochs} epoch{'s' if result.epochs > 1 else ''}"
    console = stdout_console()
    console.print(f"'{printable(result.folder)}' {state}: {epochs}. Validation accuracy after the last one:")
    rows = [(step, step * result.dt_ms, accuracy) for step, accuracy in result.accuracy.items()]
    console.print(accuracy_table(rows))
    console.print(f"the network's readout: {result.decision:.1%}")


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line or in the config file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
