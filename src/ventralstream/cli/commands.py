"""All commands, and how one is run."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from ventralstream.cli import (
    brain,
    convert,
    data,
    demo,
    evaluate,
    explore,
    extract,
    list_,
    search,
    show,
    train,
    transfer,
)
from ventralstream.errors import Interrupted, VentralError
from ventralstream.version import __version__

_UsageError: type[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class _Commands(TyperGroup):
    """Commands whose interruption keeps its sentence and its exit code, which Typer would drop."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Reads the options."""
        try:
            return super().make_context(*args, **options)
        except KeyboardInterrupt as error:
            raise _Stopped(error) from None

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped(error) from None


class _Stopped(Exception):
    """An interruption on its way through Typer."""

    def __init__(self, by: KeyboardInterrupt) -> None:
        self.by = by


app = typer.Typer(
    name="ventral",
    cls=_Commands,
    help="Recurrent convolutional models of the primate ventral visual stream: build, train, record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command, name in (
    (demo.demo, "demo"),
    (list_.list_, "list"),
    (show.show, "show"),
    (explore.explore, "explore"),
    (train.train, "train"),
    (evaluate.evaluate, "evaluate"),
    (extract.extract, "extract"),
    (transfer.transfer, "transfer"),
    (convert.convert, "convert"),
):
    app.command(name)(command)
app.add_typer(brain.app, name="brain")
app.add_typer(data.app, name="data")
app.add_typer(search.app, name="search")


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


def run() -> int:
    """Runs the command that the command line names; gives the exit code.

    Raises:
        VentralError: for bad input, also what Typer refuses.
        KeyboardInterrupt: or its subclass `Interrupted`.
    """
    try:
        code = app(standalone_mode=False)
    except _Stopped as stopped:
        raise stopped.by from None
    except typer.Abort:
        raise Interrupted() from None
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return int(error.exit_code)
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        raise VentralError(f"{error.format_message().rstrip('.')}{hint}") from None
    if code == Interrupted().code:  # while options were read
        raise Interrupted()
    return code if isinstance(code, int) else 0
