"""`ventral extract`: the activations of a folder of images, to disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.shown import HELP, presentation_of
from ventralstream.errors import VentralError, printable, unknown

if TYPE_CHECKING:
    from ventralstream.network import Network


def extract(
    model: Annotated[
        str,
        typer.Argument(help=f"{options.NETWORK_HELP}."),
    ],
    images: Annotated[Path, typer.Option(help="Folder of images, at any depth.")],
    areas: Annotated[str, typer.Option(help="Areas to record, e.g. 'conv3,conv5' (see `ventral show MODEL`).")],
    out: Annotated[Path, typer.Option(help="The zarr store to write, e.g. features.zarr.")],
    steps: options.Steps = None,
    record_steps: str | None = typer.Option(None, help="Steps to keep, e.g. '5,6,10-15'.", show_default="all"),
    reduce: str = typer.Option(
        "none",
        help="Of each map: none (keep it), mean or max (over space), or flatten; or by area: 'conv3=mean,conv5=none'.",
    ),
    of: str = typer.Option("output", help="Record each area's output, or the state of its cell."),
    presentation: str | None = typer.Option(
        None,
        help=f"{HELP}.",
        show_default="the model's",
    ),
    batch_size: options.BatchSize = 16,
    dtype: str = typer.Option("float32", help="Numbers on disk: float32, or float16 (half the space)."),
    size: int | None = typer.Option(None, help="Height and width of the images in pixels.", show_default="the model's"),
    resize: str = typer.Option(
        "squash",
        help="squash (the whole image, as experiments show it) or crop (shorter side, then the central square).",
    ),
    workers: options.Workers = 2,
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
    shown = None if presentation is None else presentation_of(presentation)
    kept = None if record_steps is None else steps_of(record_steps)

    from ventralstream.device import choose_device
    from ventralstream.features.extraction import extract, open_features
    from ventralstream.record import Record

    record_of: Any = of  # Record and extract check the choices
    stored: Any = {"dtype": dtype, "resize": resize}
    records = [Record(some, kept, how, record_of) for how, some in _reductions(areas, reduce).items()]
    done = extract(
        _network(model, seed),
        images,
        records,
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
    typer.echo(printable(f"{done.path}: {done.images} images"))
    names = [area for record in records for area in record.areas]
    for area in names:
        features = open_features(done.path, area)
        sizes = ", ".join(f"{name} {size}" for name, size in features.sizes.items())
        typer.echo(f"  {area}: {sizes}; driven by the image from step {features.attrs['first_step']}")
    typer.echo(printable(f'open it with: xarray.open_zarr("{done.path}", group="{names[0]}").activations'))


def _network(model: str, seed: int | None) -> Network:
    from ventralstream.cli.opened import open_told

    opened, _ = open_told(model, seed or 0)
    if seed is not None and opened.trained:
        raise VentralError(f"--seed is of fresh weights; '{model}' has its own")
    return opened.network


def _reductions(areas: str, reduce: str) -> dict[Any, list[str]]:
    """The areas that are reduced in each way."""
    names = [name.strip() for name in areas.split(",")]
    if "=" not in reduce:
        return {reduce: names}
    hows: dict[Any, list[str]] = {}
    by_area: dict[str, str] = {}
    for part in reduce.split(","):
        name, equals, how = (x.strip() for x in part.partition("="))
        if not equals:
            raise VentralError(
                f"cannot read the reductions '{reduce}'; expected e.g. 'mean', or 'conv3=mean,conv5=none'"
            )
        if name not in names:
            raise unknown("area", name, names, " in --reduce")
        by_area[name] = how
    for name in names:
        hows.setdefault(by_area.get(name, "none"), []).append(name)
    return hows


def steps_of(text: str) -> tuple[int, ...]:
    """The steps that a text such as '5,6,10-15' names, sorted."""
    steps: set[int] = set()
    for part in text.split(","):
        first, dash, last = (x.strip() for x in part.partition("-"))
        last = last if dash else first
        if not (first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise VentralError(f"cannot read the steps '{text}'; expected something like '5,6,10-15'")
        steps.update(range(int(first), int(last) + 1))
    return tuple(sorted(steps))
