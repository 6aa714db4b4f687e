"""`ventral demo`: does recurrence help to see digits in clutter? A few minutes, and a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ventralstream.cli.config import CONFIG


def demo(
    out: Annotated[
        Path,
        typer.Option(help="Folder for the report, the numbers and the networks; replaces an earlier demo's."),
    ] = Path("demo"),
    seed: int = typer.Option(0, min=0, help="Seed of weights and scenes; another one is another experiment."),
    epochs: int | None = typer.Option(
        None,
        min=1,
        help="Passes through the training scenes; more take longer and make better networks.",
        show_default="4, or 1 with --quick",
    ),
    quick: bool = typer.Option(
        False,
        "--quick",
        help="A tiny version of about half a minute, to see that everything works; its numbers mean nothing.",
    ),
    config: Path | None = CONFIG,
) -> None:
    """Train three small networks on cluttered digits and tell whether recurrence helped.

    A Reciprocal Gated network, the same network unrolled for its fewest steps, and a feedforward network with
    as many parameters learn to name handwritten digits in clutter. What comes out is a report to open in a
    browser. It takes about three minutes on two processor cores, without a graphics card or a download.
    """
    from rich.console import Console

    from ventralstream.errors import VentralError

    try:
        out.mkdir(parents=True, exist_ok=True)  # now, so as not to train in vain
    except OSError as error:
        raise VentralError(f"'{out}' cannot be a folder for the report: {error.strerror}") from None

    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print("Preparing three networks and scenes of cluttered digits ...")
    from ventralstream.demo import experiment, explorer, metrics, output, report

    settings = experiment.quick(seed) if quick else experiment.Settings(seed)
    settings = settings if epochs is None else replace(settings, epochs=epochs)
    result = experiment.run(settings, out / output.TRAINING_FOLDER, console)
    console.print("Comparing their answers and making the report ...")
    measured = metrics.metrics(result)
    console.print(measured["verdict"]["sentence"])
    console.print(measured["early_exit"]["sentence"])
    try:
        output.write(measured, report.report(result, measured), explorer.explorer_page(result), out)
    except OSError as error:
        raise VentralError(
            f"the report cannot be written to '{out}': {error.strerror or error};"
            " the networks are trained, and the same command goes on from there"
        ) from None
    console.print(f"The recurrent network, step by step: {out / output.EXPLORER_FILE}")
    console.print(f"Report: {out / output.REPORT_FILE}")
