"""What a command of `ventral brain` found: a table on screen, JSON, a figure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ventralstream.cli.options import use_threads
from ventralstream.errors import VentralError, printable
from ventralstream.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """What is to be shown.

    Attributes:
        title: A line above the table.
        columns: The table's columns; the first is of text, the others of numbers.
        rows: Their cells.
        data: The same, and more, for JSON.
        notes: Lines below the table.
        figure: Draws the figure, if one is wanted.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]
    figure: Callable[[], Figure]
    notes: Sequence[str] = field(default_factory=tuple)


def begin(out: Path | None, figure: Path | None, threads: int | None = None) -> None:
    """What a command that ends in a `Result` begins with: torch's threads, and whether its files can be written."""
    use_threads(threads)
    if out is not None and not out.parent.is_dir():
        raise VentralError(f"the folder of '{out}' does not exist")
    if figure is not None:
        from ventralstream.report.plots import check_path

        check_path(figure)


def show(result: Result, as_json: bool, out: Path | None, figure: Path | None) -> None:
    """Prints the table or the JSON, and then writes the files that are wanted: what was computed is never lost.

    Raises:
        VentralError: Files could not be written; it is raised when everything else is done.
    """
    from ventralstream.brain.score import encode

    text = json.dumps(encode(result.data), indent=1, allow_nan=False)
    if as_json:
        typer.echo(text)
    else:
        _print(result)
    written: list[tuple[Path, Callable[[Path], None]]] = []
    if out is not None:
        written.append((out, lambda path: write_text(path, text + "\n")))
    if figure is not None:
        written.append((figure, lambda path: _draw(result, path)))
    failed = []
    for path, write in written:
        try:
            write(path)
        except VentralError as error:
            failed.append(str(error))
        except OSError as error:
            failed.append(f"cannot write '{path}': {error.strerror or error}")
        else:
            typer.echo(f"wrote {printable(path)}", err=True)
    if failed:
        raise VentralError("; ".join(failed))


def _draw(result: Result, path: Path) -> None:
    from ventralstream.report.plots import save

    save(result.figure(), path)


def number(value: float | None, digits: int = 3) -> str:
    """A number in a table; what is undefined is a dash."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}f}"


def nanmean(values: Any) -> float:
    """The mean of a number or an array, NaN left out and silent where nothing is there."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    there = array[np.isfinite(array)]
    return float(there.mean()) if there.size else math.nan


def plain(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return float(value) if math.isfinite(value) else None


def _print(result: Result) -> None:
    """Names in it may be from files: shown as they are, without markup, with escapes for what no screen shows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    console.print(printable(result.title), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(result.columns):
        table.add_column(Text(printable(name)), justify="right" if i else "left", no_wrap=True)
    for row in result.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False, width=max(300, console.width)).print(table)  # as wide as it is: what is cut off is lost
    for note in result.notes:
        console.print(printable(note), soft_wrap=True)
