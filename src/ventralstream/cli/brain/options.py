"""The options that the commands of `ventral brain` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ventralstream.errors import VentralError

MODEL_HELP = (
    "A registered model (see `ventral list`; its weights are untrained), the folder of a run or a saved network,"
    " 'pixels' (the images themselves), or a store of `ventral extract`."
)

Root = Annotated[
    Path | None,
    typer.Option("--root", envvar="VENTRALSTREAM_DATA", help="The folder in which the published data sets lie."),
]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder of the images that a file's stimulus ids name. The published sets bring their own."),
]
Areas = Annotated[
    str | None,
    typer.Option(help="Model areas, e.g. 'conv3,conv5'.", show_default="all but the read-out"),
]
Steps = Annotated[int | None, typer.Option(help="Steps to unroll the model for.", show_default="the model's")]
Reduce = Annotated[str, typer.Option(help="Of each map: none (every unit is a feature), mean or max (over space).")]
Projection = Annotated[
    int,
    typer.Option(help="Project areas with more features than this at random to so many; 0: keep all."),
]
BatchSize = Annotated[int, typer.Option(help="Images at a time.")]
Seed = Annotated[int, typer.Option(help="Seed of untrained weights and projections.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads to use.", show_default="torch's choice")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the JSON to this file.")]
FigureFile = Annotated[Path | None, typer.Option("--figure", help="Write a figure: FILE.svg, .png or .pdf.")]


def use_threads(threads: int | None) -> None:
    """Sets torch's threads, if a number is given."""
    if threads is None:
        return
    if threads < 1:
        raise VentralError(f"threads is {threads}; expected at least 1")
    import torch

    torch.set_num_threads(threads)
