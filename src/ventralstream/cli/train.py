"""`ventral train`: train a network, or carry a run on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.evaluate import accuracy_table, readout_of
from ventralstream.cli.fields import changed, with_fields
from ventralstream.data.augment import USUAL, Augment
from ventralstream.errors import VentralError, printable
from ventralstream.jsonable import hints
from ventralstream.training import Place, Recipe, load_recipe
from ventralstream.training.schedule import Schedule

if TYPE_CHECKING:
    from ventralstream.training.run import Result

WHAT, HOW, WHERE = "What to train", "How", "Where"
DATA = ("data", "size", "subset", "val_subset", "holdout")

OUT = typer.Option(None, help="Folder for the run: weights, recipe, metrics, checkpoints. Must be new or empty.")
RESUME = typer.Option(None, help="Folder of a run that was interrupted: carries it on. Nothing else is needed.")


@with_fields(
    how=(Recipe, lambda name: WHAT if name in DATA else HOW),
    where=(Place, lambda name: WHERE),
)
def train(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A registered model (see `ventral list`), the path of a config.json; or what to train on: NAME:TAG"
            " (see `ventral list --weights`), or the folder of a saved network. Not needed with --resume.",
            show_default=False,
        ),
    ] = None,
    out: Path | None = OUT,
    resume: Path | None = RESUME,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe by name (see `ventral list --recipes`), a YAML file, or a run to train as; other options"
            " change single fields of it.",
            show_default="the defaults shown here",
        ),
    ] = None,
    steps: options.Steps = None,
    readout: Annotated[
        str | None,
        typer.Option(
            help="How the network decides: by the logits of the last step (last, or per_step, which keeps all), their"
            " mean over steps (mean), those of the most confident step (max_confidence), or of the first with a"
            " confidence of 0.9 (threshold).",
            show_default="the model's",
            rich_help_panel=WHAT,
        ),
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(
            help="Submit the run to Slurm and return, e.g. partition=main,nodes=1,tasks=2,time=60 (minutes); the tasks"
            " share each batch. When its time is over the job saves, queues again and goes on."
            " See docs/how-to/clusters.md.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    config: Path | None = CONFIG,
    how: dict[str, Any] | None = None,
    where: dict[str, Any] | None = None,
) -> None:
    """Train a network, or carry a run on with --resume.

    E.g. `ventral train rgc_shallow_cifar --recipe cifar10 --root DATA --epochs 2 --out RUN`. A run that was
    killed goes on with `ventral train --resume RUN`, exactly as if it had not been.
    """
    assert how is not None and where is not None
    if resume is not None:
        also = {"model": model, "out": out, "recipe": recipe, "steps": steps, "readout": readout}
        if fixed := sorted([name for name, value in also.items() if value is not None] + list(how)):
            left_out = ", ".join(name.upper() if name == "model" else f"--{name.replace('_', '-')}" for name in fixed)
            raise VentralError(
                f"--resume carries on with the run's own recipe; leave out {left_out}, or begin a new run from its"
                f" weights: ventral train {resume} --out NEW"
            )
        changed(Place(), where)  # refuses what does not fit
        if not _submitted(slurm, resume):
            _resume(resume, where)
        return
    if model is None or out is None:
        missing = "a MODEL (see `ventral list`)" if model is None else "a folder for the run, --out RUN"
        raise VentralError(f"training needs {missing}; to carry on with a run, give --resume RUN")
    base = Recipe() if recipe is None else load_recipe(recipe)
    drops: dict[str, Any] = {}  # of the recipe's that another schedule, or another kind of drops, has no use for
    if how.get("schedule", "step") != "step":
        drops = {"drop_every": Schedule.drop_every, "drop_at": Schedule.drop_at, "drop": Schedule.drop}
    elif "drop_every" in how:
        drops = {"drop_at": Schedule.drop_at}
    elif "drop_at" in how:
        drops = {"drop_every": Schedule.drop_every}
    base = base.replace(schedule=base.schedule.replace(**drops))
    data = how.get("data", base.data)
    if base.augment is None and data in USUAL and how.keys() & hints(Augment).keys():
        # a field that is given changes that one alone
        base = base.replace(augment=USUAL[data])
    chosen, place = changed(base, how), changed(Place(), where)
    if not _submitted(slurm, out):
        _train(model, chosen, place, out, steps, readout)


def _submitted(slurm: str | None, run: Path) -> bool:
    """Whether the command is done with, as a job does the rest."""
    from ventralstream.training.slurm import SUBMITTED, Slurm, submit

    if slurm is None or SUBMITTED in os.environ:  # in the job it is the same command
        return False
    job, log = submit(sys.argv[1:], run, Slurm.of(slurm))
    print(f"submitted as job {job}; its log is '{printable(log)}'")
    return True


def _train(model: str, recipe: Recipe, place: Place, out: Path, steps: int | None, readout: str | None) -> None:
    from ventralstream.progress import stderr_console
    from ventralstream.training import run
    from ventralstream.training.launch import is_first_process

    how = None if readout is None else readout_of(readout)
    result = run.train(model, recipe, out, place=place, steps=steps, readout=how, console=stderr_console())
    if is_first_process():
        _summarise(result)


def _resume(out: Path, place: dict[str, Any]) -> None:
    from ventralstream.progress import stderr_console
    from ventralstream.training import run
    from ventralstream.training.launch import is_first_process

    result = run.resume(out, changes=place, console=stderr_console())
    if is_first_process():
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
    console.print(f"to see it in time: ventral explore {printable(result.folder)} --out page.html")
    console.print(f"training took {result.pflop:.2g} PFLOP (three times the planned forward pass, for every image)")
