"""`ventral extract`: the activations of a folder of images, to disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.unfinished import unfinished
from ventralstream.errors import VentralError, printable, unknown

if TYPE_CHECKING:
    from ventralstream.network import Network
    from ventralstream.presentation import Presentation


def extract(
    model: Annotated[
        str,
        typer.Argument(
            help="A registered model (see `ventral list`; its weights are untrained), or the folder of a run."
        ),
    ],
    images: Annotated[Path, typer.Option(help="Folder of images, at any depth.")],
    areas: Annotated[str, typer.Option(help="Areas to record, e.g. 'conv3,conv5' (see `ventral show MODEL`).")],
    out: Annotated[Path, typer.Option(help="The zarr store to write, e.g. features.zarr.")],
    steps: int | None = typer.Option(None, help="Steps to unroll.", show_default="the model's"),
    record_steps: str | None = typer.Option(None, help="Steps to keep, e.g. '5,6,10-15'.", show_default="all"),
    reduce: str = typer.Option("none", help="Of each map: none (keep it), mean or max (over space), or flatten."),
    of: str = typer.Option("output", help="Record each area's output, or the state of its cell."),
    presentation: str | None = typer.Option(
        None,
        help="'constant', 'neural' (26 steps, the image for 10 of them), or 'flash:12' (the image for 12 steps, then a"
        " blank).",
        show_default="the model's",
    ),
    batch_size: int = typer.Option(16, help="Images at a time: fewer need less memory."),
    dtype: str = typer.Option("float32", help="Numbers on disk: float32, or float16 (half the space)."),
    size: int | None = typer.Option(None, help="Height and width of the images in pixels.", show_default="the model's"),
    resize: str | None = typer.Option(
        None,
        help="crop (shorter side, then the central square) or squash (the whole image).",
        show_default="as a run's images were; else crop",
    ),
    workers: int = typer.Option(2, help="Threads that decode images while the model runs."),
    seed: int | None = typer.Option(None, help="Seed of the fresh weights of a registered model.", show_default="0"),
    device: options.Device = "auto",
    resume: bool = typer.Option(True, help="Carry on an unfinished extraction, or start it again."),
    overwrite: bool = typer.Option(False, help="Replace a finished store."),
    config: Path | None = CONFIG,
) -> None:
    """Record a model's activations to a folder of images, area by area and step by step.

    One batch of images is in memory at a time. What was cut off is carried on by the same command.

    Open the result with xarray: `xarray.open_zarr("features.zarr", group="conv5").activations`.
    """
    shown = None if presentation is None else _presentation(presentation)
    kept = None if record_steps is None else _steps(record_steps)

    from ventralstream.device import choose_device
    from ventralstream.features.extraction import extract, open_features
    from ventralstream.record import Record

    choices: Any = {"reduce": reduce, "of": of}  # Record and extract check them
    record = Record([a.strip() for a in areas.split(",")], kept, **choices)
    network, usual = _network(model, seed)
    stored: Any = {"dtype": dtype, "resize": resize or usual}
    done = extract(
        network,
        images,
        record,
        out,
        steps=steps,
        presentation=shown,
        batch_size=batch_size,
        size=size,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        device=choose_device(device),
        **stored,
    )
    typer.echo(f"{done.path}: {done.images} images")
    for area in record.areas:
        features = open_features(done.path, area)
        sizes = ", ".join(f"{name} {size}" for name, size in features.sizes.items())
        typer.echo(f"  {area}: {sizes}; driven by the image from step {features.attrs['first_step']}")
    typer.echo(f'open it with: xarray.open_zarr("{done.path}", group="{record.areas[0]}").activations')


def _network(model: str, seed: int | None) -> tuple[Network, str]:
    """The network, and how the images it is meant for were brought to their size."""
    from ventralstream.checkpoints import load_network
    from ventralstream.models import create_model

    if not Path(model).is_dir():
        network = create_model(model, seed=seed or 0)
        typer.echo(f"{model}: the weights are untrained (random, seed {seed or 0})", err=True)
        return network, "crop"
    if seed is not None:
        raise VentralError(f"--seed is of fresh weights; '{model}' has its own")
    network = load_network(model)
    if note := unfinished(model):
        typer.echo(printable(note), err=True)
    if not (Path(model) / "recipe.json").is_file():  # saved, but not by `ventral train`
        return network, "crop"

    from ventralstream.training.folder import open_run

    return network, open_run(model).data.preprocessing.resize


def _presentation(text: str) -> Presentation:
    from ventralstream.presentation import Constant, Flash, Neural

    named = {"constant": Constant, "neural": Neural}
    name, _, on = text.partition(":")
    if name not in (*named, "flash"):
        raise unknown("presentation", name, (*named, "flash"))
    if text in named:
        return named[text]()
    if name == "flash" and on.isascii() and on.isdigit():
        return Flash(int(on))
    raise VentralError(f"the presentation is '{text}'; expected 'constant', 'neural', or e.g. 'flash:12'")


def _steps(text: str) -> tuple[int, ...]:
    steps: set[int] = set()
    for part in text.split(","):
        first, dash, last = (x.strip() for x in part.partition("-"))
        last = last if dash else first
        if not (first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise VentralError(f"cannot read the steps '{text}'; expected something like '5,6,10-15'")
        steps.update(range(int(first), int(last) + 1))
    return tuple(sorted(steps))
