"""`ventral convert`: published weights to a saved network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ventralstream.cli.config import CONFIG


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="A TensorFlow checkpoint (its prefix, as in 'model.ckpt') for a ConvRNN; a torch state dict (.pth,"
            " .safetensors) for a CORnet or a ResNet."
        ),
    ],
    model: Annotated[str, typer.Option(help="The registered model that the weights are of (see `ventral list`).")],
    out: Annotated[Path, typer.Option(help="Folder to write: config.json, model.safetensors, provenance.json.")],
    num_classes: int = typer.Option(1000, min=1, help="Classes of the weights."),
    config: Path | None = CONFIG,
) -> None:
    """Convert published weights of a model to a saved network.

    The result is a folder that `ventral show`, `ventral evaluate`, `ventral extract` and `create_model(NAME,
    weights=FOLDER)` take. Tensors that are missing, left over or of the wrong shape are an error that lists them.
    """
    from ventralstream.checkpoints.disk import PROVENANCE_FILE
    from ventralstream.published.convert import convert as convert_weights

    network = convert_weights(source, model, out, num_classes)
    count = sum(p.numel() for p in network.parameters())
    typer.echo(f"{out}: {model}, {count:,} parameters; where they come from is in {PROVENANCE_FILE}")
