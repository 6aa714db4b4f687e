"""`ventral data`: image sets on disk. Packs a folder of images for fast training, and checks what was packed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.errors import printable

app = typer.Typer(
    name="data",
    help="Image sets on disk: pack a folder of images, so that training does not wait for them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("pack")
def pack(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder with train/CLASS/... and val/CLASS/... (or Tiny-ImageNet as it is published), or CLASS/..."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The packed set to make; a folder.")],
    size: Annotated[int, typer.Option(help="Height and width of the images, in pixels.")],
    crop: Annotated[
        bool,
        typer.Option(
            "--crop/--squash",
            help="Resize the shorter side and cut out the central square, or resize the whole image to a square. Images"
            " of the right size stay as they are.",
        ),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", help="Processes that decode.", show_default="one a CPU", callback=options.at_least(0)
        ),
    ] = None,
) -> None:
    """Pack the images of a folder into files that are mapped into memory: no decoding in training.

    E.g. `ventral data pack imagenet IN128 --size 128`, then `ventral train MODEL --data packed --root IN128 --out RUN`.
    What was cut off is carried on by the same command. Images that cannot be read are listed in skipped.txt.
    """
    from ventralstream.data import pack_folder

    resize: Any = "crop" if crop else "squash"
    workers = (os.cpu_count() or 1) if workers is None else workers
    packed = pack_folder(folder, out, size=size, resize=resize, workers=workers)
    for split, count in packed.images.items():
        skipped = packed.skipped[split]
        note = f"; {skipped} could not be read: {packed.folder / split / 'skipped.txt'}" if skipped else ""
        typer.echo(printable(f"{packed.folder}: {count} images of '{split}'{note}"))


@app.command("check")
def check(packed: Annotated[Path, typer.Argument(help="A packed set.")]) -> None:
    """Read a packed set as a whole, and compare it with its checksums."""
    from ventralstream.data import check_packed

    header = check_packed(packed)
    typer.echo(printable(f"{packed}: whole; {len(header.classes)} classes, {header.size} x {header.size} pixels"))
