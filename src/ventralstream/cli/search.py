"""`ventral search`: search the architecture, on one machine or a cluster."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.fields import changed, with_fields
from ventralstream.errors import VentralError, printable
from ventralstream.search.objective import Sleep
from ventralstream.search.options import Search, Surrogate

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.table import Table

    from ventralstream.search.status import Status
    from ventralstream.search.study import Study

app = typer.Typer(
    help="Search for architectures: train many networks briefly, and propose better ones from what came of them.",
    no_args_is_help=True,
)
HOW, TEST = "How", "To test the search itself"
_TEST = {"objective", *Sleep().to_json(), *Surrogate().to_json()}

Name = Annotated[str, typer.Argument(help="The study's name.", show_default=False)]
Storage = Annotated[
    str,
    typer.Option("--storage", help="The study's database: an SQLite file, or postgresql://USER@HOST/NAME."),
]
SpaceFile = Annotated[
    Path | None,
    typer.Option("--space", help="Where the file of your own space is now.", show_default="where it was"),
]
Trial = Annotated[str, typer.Argument(help="A trial's number, 'best' or 'median'.", show_default=False)]
DATABASE = "search.db"


@app.command()
@with_fields(how=(Search, lambda name: TEST if name in _TEST else HOW))
def create(
    space: Annotated[
        str,
        typer.Argument(
            help="What to search: cifar-small, cifar or imagenet128; a JSON file of a cell space; or your own, FILE.py"
            " or FILE.py:NAME. See docs/how-to/search.md.",
            show_default=False,
        ),
    ],
    study: Annotated[
        str | None, typer.Option("--study", help="The study's name.", show_default="the space's name")
    ] = None,
    storage: Storage = DATABASE,
    recipe: Annotated[
        str, typer.Option(help="How a trial is trained: a recipe by name (`ventral list --recipes`) or a YAML file.")
    ] = "search-cifar10",
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Where the trials' folders shall be; all workers must reach it.",
            show_default="by the study's name, beside the SQLite file or here",
        ),
    ] = None,
    config: Path | None = CONFIG,
    how: dict[str, Any] | None = None,
) -> None:
    """Make a study, which `ventral search work` then works on. Made again by the same command, it stays as it is.

    E.g. `ventral search create cifar-small --trials 150 --sampler tpe`.
    """
    from ventralstream.progress import stdout_console
    from ventralstream.search.database import without_password
    from ventralstream.search.spaces import load_space
    from ventralstream.search.study import create_study
    from ventralstream.training import load_recipe

    made_of = load_space(space)
    search = changed(Search(), how or {})
    made = create_study(study or made_of.name, storage, made_of, load_recipe(recipe), search, folder=folder)
    shown = without_password(storage)
    which = shlex.quote(made.name) + ("" if storage == DATABASE else f" --storage {shlex.quote(shown)}")
    console = stdout_console()
    console.print(
        f"the study '{printable(made.name)}' is in '{printable(shown)}': {len(made.parameters)} parameters,"
        f" {len(made_of.known)} known points, {made.search.trials} trials by {made.search.sampler}"
    )
    console.print(f"work on it:  ventral search work {which}")
    console.print(f"look at it:  ventral search status {which} --live")
    console.print(f"or with:     optuna-dashboard {shlex.quote(without_password(made.storage.url))}")
    if shown != storage:
        console.print("(*** stands for the password: better leave it out, and set PGPASSWORD)")


@app.command()
def work(
    study: Name,
    storage: Storage = DATABASE,
    workers: Annotated[int, typer.Option(help="So many processes on this machine.", callback=options.at_least(1))] = 1,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many trials of a worker.",
            show_default="when the study has enough",
            callback=options.at_least(1),
        ),
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(
            help="Submit the workers to Slurm and return, each a job, e.g. partition=main,time=60,cpus=4,gpus=1. When"
            " its time is over a job saves, queues again and goes on. See docs/how-to/clusters.md.",
        ),
    ] = None,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds between checkpoints within an epoch.", callback=options.at_least(0.0))
    ] = 60.0,
    space: SpaceFile = None,
) -> None:
    """Do a study's trials until there are enough. Any number of workers may, anywhere, also later.

    After Ctrl-C the trial goes on from its checkpoint when a worker comes again; so it does if a worker dies.
    """
    from ventralstream.progress import stderr_console
    from ventralstream.search import cluster, worker
    from ventralstream.search.attempt import worker_name
    from ventralstream.search.status import status as status_of
    from ventralstream.search.storage import PATIENCE, connect
    from ventralstream.search.study import Study
    from ventralstream.training import Place

    data = changed(Place(), {"device": device, "checkpoint_every": checkpoint_every})
    place = data.replace(root=None if root is None else str(root), threads=threads)
    console = stderr_console()
    opened = Study(study, connect(storage, waiting=console.print), space)
    if slurm is not None:
        for job, log in cluster.submit_workers(opened, workers, slurm):
            print(f"submitted as job {job}; its log is '{printable(log)}'")
        return
    if workers > 1:
        cluster.run_workers(workers)
        return
    opened.storage.patience = PATIENCE
    console.print(f"worker {worker_name()} works on '{study}'")
    done = worker.work(opened, place, trials=trials, say=console.print)
    now = status_of(opened)
    console.print(
        f"{done} trials of '{printable(study)}' were done here; it has {now.settled} of the {now.wanted} that it wants"
    )


@app.command()
def status(
    study: Name,
    storage: Storage = DATABASE,
    live: Annotated[bool, typer.Option("--live", help="Show it again every two seconds, until Ctrl-C.")] = False,
    space: SpaceFile = None,
) -> None:
    """Show how a study stands: its trials by what came of them, the best one, the pace and the time left."""
    import time

    from rich.live import Live

    from ventralstream.progress import stdout_console
    from ventralstream.search.status import status as ask
    from ventralstream.search.study import open_study

    opened, console = open_study(study, storage, space), stdout_console()
    if not live:
        console.print(_table(study, ask(opened)))
        return
    with Live(_table(study, ask(opened)), console=console, auto_refresh=False) as screen:
        while True:
            time.sleep(2)
            screen.update(_table(study, ask(opened)), refresh=True)


@app.command()
def best(study: Name, storage: Storage = DATABASE, space: SpaceFile = None) -> None:
    """Show the best trial: its accuracy, what it costs, and what was chosen."""
    _show(study, storage, "best", space)


@app.command()
def median(study: Name, storage: Storage = DATABASE, space: SpaceFile = None) -> None:
    """Show the trial with the median accuracy of the last third of the study."""
    _show(study, storage, "median", space)


@app.command()
def export(
    study: Name,
    trial: Trial,
    out: Annotated[Path, typer.Option(help="The file for the network's spec, which `ventral train` takes.")],
    storage: Storage = DATABASE,
    space: SpaceFile = None,
) -> None:
    """Write a trial's network to a file for `ventral train FILE`."""
    from ventralstream.files import write_text
    from ventralstream.spec import spec_from_json

    opened, found = _found(study, storage, trial, space)
    if "spec" not in found.user_attrs:
        raise VentralError(f"trial {found.number} of '{study}' has no network: it was not begun")
    spec = spec_from_json(found.user_attrs["spec"])
    write_text(out, spec.replace(name=f"{opened.name}_{found.number}").to_text())
    recipe = "cifar10" if opened.recipe.data == "cifar10" else "RECIPE"  # the trials' own is a brief one
    command = f"ventral train {shlex.quote(str(out))} --recipe {recipe} --out RUN"
    print(f"trial {found.number} is in '{printable(out)}'; train it: {command}")


@app.command()
def report(
    study: Name,
    out: Annotated[Path, typer.Option(help="The page, one HTML file.")],
    storage: Storage = DATABASE,
    space: SpaceFile = None,
) -> None:
    """Write a page about a study: accuracy by sample, what mattered, the best and the median cell, costs, workers."""
    from ventralstream.search.report import write_report
    from ventralstream.search.study import open_study

    write_report(open_study(study, storage, space), out)
    print(f"the report of '{printable(study)}' is in '{printable(out)}'")


@app.command()
def table(
    study: Name,
    out: Annotated[
        Path, typer.Option(help="The table, NAME.csv or NAME.csv.gz; what it has of other studies stays in it.")
    ],
    storage: Storage = DATABASE,
    space: SpaceFile = None,
) -> None:
    """Put a study's finished trials into a table, a row a trial: specs, costs, accuracies."""
    from ventralstream.search.study import open_study
    from ventralstream.search.trained import add_study

    count = add_study(open_study(study, storage, space), out)
    print(f"{count} trials of '{printable(study)}' are in '{printable(out)}'")


def _show(study: str, storage: str, which: str, space: Path | None) -> None:
    from ventralstream.progress import stdout_console
    from ventralstream.values import shown

    _, found = _found(study, storage, which, space)
    known = f", the known point '{found.user_attrs['known']}'" if "known" in found.user_attrs else ""
    console = stdout_console()
    console.print(
        f"trial {found.number}{known}: validation accuracy {found.value:.1%},"
        f" {found.user_attrs['parameters']:,} parameters, {found.user_attrs['flops'] / 1e6:.4g} MFLOP an image"
    )
    for name, value in found.params.items():
        console.print(f"  {name:<32}{shown(value)}")


def _found(study: str, storage: str, trial: str, space: Path | None) -> tuple[Study, FrozenTrial]:
    from ventralstream.search.study import open_study

    opened = open_study(study, storage, space)
    if trial in ("best", "median"):
        return opened, opened.best if trial == "best" else opened.median
    if not trial.isdecimal():
        raise VentralError(f"'{trial}' is no trial; expected a number, 'best' or 'median'")
    return opened, opened.trial(int(trial))


def _table(study: str, now: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    from ventralstream.progress import clock

    table = Table(title=Text(study), show_header=False, title_justify="left", box=None, pad_edge=False)
    left = now.minutes_left
    rows = [("trials", f"{now.settled} of {now.wanted}")]
    rows += [(f"  {name}", str(count)) for name, count in sorted(now.outcomes.items())]
    rows += [(f"  {name}", str(now.states[name])) for name in ("running", "waiting") if name in now.states]
    rows += [("best", "none yet" if now.best is None else f"trial {now.best[0]}: {now.best[1]:.1%}")]
    if now.settled < now.wanted:
        rows += [("pace", f"{now.per_minute:.2g} trials a minute" if now.per_minute else "not known yet")]
        rows += [("left", "not known yet" if left is None else clock(left * 60))]
    rows += [(f"trial {number}", worker) for number, worker in now.workers.items()]
    for name, text in rows:
        table.add_row(Text(name), Text(printable(text)))
    return table
