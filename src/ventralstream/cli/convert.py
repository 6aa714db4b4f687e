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
            help="What the authors published, as downloaded: for a ConvRNN a TensorFlow checkpoint (its prefix, as in"
            " 'model.ckpt', for model.ckpt.index and model.ckpt.data-...); for a CORnet or a ResNet a torch state dict"
            " (.pth, .safetensors)."
        ),
    ],
    model: Annotated[str, typer.Option(help="The model that the weights are of; `ventral list --published` has them.")],
    out: Annotated[
        Path, typer.Option(help="Folder to write: config.json, model.safetensors, SHA256SUMS, provenance.json.")
    ],
    num_classes: int = typer.Option(1000, min=1, help="Classes of the weights."),
    config: Path | None = CONFIG,
) -> None:
    """Convert published weights of a model to a saved network.

    The result is a folder that `ventral show`, `ventral evaluate`, `ventral extract` and `create_model(NAME,
    weights=FOLDER)` take. Tensors that are missing, left over, of the wrong shape or not finite are an error that names
    them; nothing is written then, and nothing but tensors is ever loaded from a file.

    ConvRNNs are published at https://github.com/neuroailab/convrnns, CORnets at https://github.com/dicarlolab/CORnet,
    ResNets at https://docs.pytorch.org/vision/stable/models/resnet.html; docs/models has the page of each model.
    """
    from ventralstream.checkpoints.disk import PROVENANCE_FILE
    from ventralstream.published.convert import convert as convert_weights

    network = convert_weights(source, model, out, num_classes)
    count = sum(p.numel() for p in network.parameters())
    typer.echo(f"{out}: {model}, {count:,} parameters; where they come from is in {PROVENANCE_FILE}")
