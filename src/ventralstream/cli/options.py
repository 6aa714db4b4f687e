"""The options that several commands share: each is declared once, and means the same in all of them.

A command takes an option as `seed: options.Seed = 0`; what is not among its parameters it does not have. Numbers are
checked here, before the command runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ventralstream.data_root import VARIABLE
from ventralstream.errors import VentralError

Number = TypeVar("Number", int, float)


def at_least(minimum: Number, hint: str = "") -> Callable[[typer.CallbackParam, Number | None], Number | None]:
    """A check for a number option: VentralError where it is given and smaller.

    Args:
        minimum: The smallest value.
        hint: What to do instead, e.g. "leave it out to take all".
    """

    def check(param: typer.CallbackParam, value: Number | None) -> Number | None:
        if value is not None and not value >= minimum:
            name = "--" + (param.name or "").replace("_", "-")
            raise VentralError(f"{name} is {value}; expected at least {minimum}" + (f" ({hint})" if hint else ""))
        return value

    return check


def listed(text: str | None) -> list[str] | None:
    """The names in 'a, b'; None if none are given."""
    return None if text is None else [name.strip() for name in text.split(",")]


# --- what goes in -----------------------------------------------------------------------------------------------------

Root = Annotated[
    Path | None,
    typer.Option("--root", help="The folder in which the data sets lie.", show_default=f"what {VARIABLE} names"),
]
Subset = Annotated[
    int | None,
    typer.Option(
        "--subset",
        help="Take only so many images.",
        show_default="all",
        callback=at_least(1, "leave it out to take all"),
    ),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", help="Steps to unroll for.", show_default="the model's", callback=at_least(1)),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of what is random: untrained weights, projections, draws.")]

NETWORK_HELP = (
    "NAME:TAG, a registered model with weights (`ventral list --weights`); the folder of a run or a saved network; or"
    " NAME, with untrained weights (`ventral list`)"
)
MODEL_HELP = f"{NETWORK_HELP}; 'pixels' (the images themselves); or a store of `ventral extract`."
Images = Annotated[
    Path | None,
    typer.Option("--images", help="Folder of the images that stimulus ids name. The published sets bring their own."),
]
Stimulus = Annotated[
    str | None,
    typer.Option(
        "--stimulus", help="Of an NWB file: the column of its trials that names the stimulus.", show_default="found"
    ),
]
Areas = Annotated[
    str | None,
    typer.Option("--areas", help="Model areas, e.g. 'conv3,conv5'.", show_default="all but the read-out"),
]
Reduce = Annotated[
    str, typer.Option("--reduce", help="Of each map: none (every unit is a feature), mean or max (over space).")
]
Projection = Annotated[
    int,
    typer.Option(
        "--projection",
        help="Project areas with more features than this at random to so many; 0: keep all.",
        callback=at_least(0),
    ),
]

# --- how often --------------------------------------------------------------------------------------------------------

Splits = Annotated[
    int,
    typer.Option(
        "--splits", help="Random splits of the stimuli: 90 % to train on, 10 % to test.", callback=at_least(1)
    ),
]
SplitSeed = Annotated[int, typer.Option("--split-seed", help="Seed of splits, halvings and resamples.")]
Halvings = Annotated[
    int,
    typer.Option("--halvings", help="How often repetitions (or trials) are halved at random.", callback=at_least(1)),
]
Resamples = Annotated[
    int,
    typer.Option("--resamples", help="Bootstrap samples for the 95 % interval; 0: none.", callback=at_least(0)),
]

# --- how and where it is computed -------------------------------------------------------------------------------------

BatchSize = Annotated[int, typer.Option("--batch-size", help="Images at a time.", callback=at_least(1))]
Device = Annotated[
    str,
    typer.Option("--device", help="auto (a GPU if there is one, also Apple's), cpu, cuda, cuda:1 or mps."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="Processor threads to use.", show_default="torch's choice", callback=at_least(1)),
]
Workers = Annotated[
    int, typer.Option("--workers", help="What decodes images beside the network.", callback=at_least(0))
]

# --- what comes out ---------------------------------------------------------------------------------------------------

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
Out = Annotated[Path | None, typer.Option("--out", help="Also write the results, as JSON, to this file.")]
Figure = Annotated[Path | None, typer.Option("--figure", help="Also draw a figure: FILE.svg, .png or .pdf.")]


def use_threads(threads: int | None) -> None:
    """Sets torch's threads, if a number is given."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
