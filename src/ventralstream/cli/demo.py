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
    updates: int | None = typer.Option(
        None,
        min=1,
        help="Updates of each network's weights; more take longer and make better networks.",
        show_default="1000, or 30 with --quick",
    ),
    quick: bool = typer.Option(
        False,
        "--quick",
        help="A tiny version of a few seconds, to see that everything works; its numbers mean nothing.",
    ),
    config: Path | None = CONFIG,
) -> None:
    """Train three small networks on cluttered digits and tell whether recurrence helped.

    A Reciprocal Gated network, the same network unrolled for its fewest steps, and a feedforward network with
    as many parameters learn to name handwritten digits in clutter. What comes out is a report to open in a
    browser. It takes about three minutes on two processor cores, without a graphics card or a download.
    """
    from rich.console import Console

    from ventralstream.demo.screen import Screen
    from ventralstream.errors import VentralError

    try:
        out.mkdir(parents=True, exist_ok=True)  # now, so as not to train in vain
    except OSError as error:
        raise VentralError(f"'{out}' cannot be a folder for the report: {error.strerror}") from None

    console = Console()
    console.print("Preparing three networks and scenes of cluttered digits ...")
    from ventralstream.demo import experiment, output

    settings = experiment.quick(seed) if quick else experiment.Settings(seed)
    settings = settings if updates is None else replace(settings, updates=updates)
    with Screen(console, settings.updates) as screen:
        result = experiment.run(settings, screen)
    measured = output.write(result, out)
    console.print(measured["verdict"]["sentence"], soft_wrap=True, highlight=False)
    console.print(f"Report: {out / output.REPORT_FILE}", soft_wrap=True, highlight=False)
