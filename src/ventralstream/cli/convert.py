"""`ventral convert`: published weights to a saved network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ventralstream.cli.config import CONFIG
from ventralstream.errors import VentralError


def convert(
    out: Annotated[
        Path, typer.Option(help="Folder to write: config.json, model.safetensors, SHA256SUMS, provenance.json.")
    ],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="What the authors published, as downloaded: for a ConvRNN a TensorFlow checkpoint (its prefix, as in"
            " 'model.ckpt', for model.ckpt.index and model.ckpt.data-...); for a CORnet or a ResNet a torch state dict"
            " (.pth, .safetensors). Not with --published."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that the weights are of; `ventral list --published` has them.", show_default=False
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            help="The model whose weights to download from their authors' own place; once: they are kept in the"
            " folder that VENTRALSTREAM_CACHE names, else in the system's for caches.",
            show_default=False,
        ),
    ] = None,
    num_classes: int = typer.Option(1000, min=1, help="Classes of the weights."),
    config: Path | None = CONFIG,
) -> None:
    """Convert published weights of a model to a saved network.

    `ventral convert FILE --model NAME --out FOLDER`, or `ventral convert --published NAME --out FOLDER`.

    The result is a folder that `ventral show`, `ventral evaluate`, `ventral extract` and `create_model(NAME,
    weights=FOLDER)` take. Tensors that are missing, left over, of the wrong shape or not finite are an error that names
    them; nothing is written then, and nothing but tensors is ever loaded from a file.

    ConvRNNs are published at https://github.com/neuroailab/convrnns, CORnets at https://github.com/dicarlolab/CORnet,
    ResNets at https://docs.pytorch.org/vision/stable/models/resnet.html; docs/models has the page of each model.
    """
    if published is not None and (source is not None or model is not None):
        raise VentralError("--published names the model and where its weights are; leave out the file and --model")
    if published is None and (source is None or model is None):
        raise VentralError(
            "what is converted is a FILE, with --model NAME; or what the authors publish of a model, --published NAME"
        )
    from ventralstream.checkpoints.disk import PROVENANCE_FILE
    from ventralstream.models.convert import convert as convert_weights

    name = str(model or published)
    network = convert_weights(source, name, out, num_classes)
    count = sum(p.numel() for p in network.parameters())
    typer.echo(f"{out}: {name}, {count:,} parameters; where they come from is in {PROVENANCE_FILE}")
