"""The command line `ventral`. One file a command; each imports what is heavy only when it runs."""

from __future__ import annotations

import sys

import typer

from ventralstream.cli import brain, convert, demo, evaluate, extract, list_, show, train
from ventralstream.errors import VentralError
from ventralstream.version import __version__

app = typer.Typer(
    name="ventral",
    help="Recurrent convolutional models of the primate ventral visual stream: build, train, record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command, name in (
    (demo.demo, "demo"),
    (list_.list_, "list"),
    (show.show, "show"),
    (train.train, "train"),
    (evaluate.evaluate, "evaluate"),
    (extract.extract, "extract"),
    (convert.convert, "convert"),
):
    app.command(name)(command)
app.add_typer(brain.app, name="brain")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ventralstream {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Recurrent convolutional models of the primate ventral visual stream: build, train, record.

    Start with `ventral demo --out demo`, then `ventral list` and `ventral show rgc_shallow`.
    """


def main() -> None:
    """Runs the command line: bad input is one sentence and exit code 2, an interruption 130."""
    try:
        app()
    except VentralError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
