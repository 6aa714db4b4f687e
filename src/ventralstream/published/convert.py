"""Published weights to ours: a TensorFlow checkpoint or a torch state dict in, a saved network out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ventralstream.checkpoints import save_network
from ventralstream.checkpoints.disk import PROVENANCE_FILE, read_provenance
from ventralstream.errors import VentralError, printable
from ventralstream.files import why_no_file
from ventralstream.models import create_model, model_entry
from ventralstream.network import Network
from ventralstream.published.convrnn import load_convrnn
from ventralstream.published.cornet import load_cornet
from ventralstream.published.resnet import load_resnet
from ventralstream.published.state_dict import read_state_dict
from ventralstream.published.tf_checkpoint import checkpoint_files, read_tf_checkpoint
from ventralstream.version import __version__

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; `provenance.json` beside them.

    Attributes:
        model: The registered model.
        source: Paper and repository.
        licence: Of the weights, as far as their authors state one.
        files: SHA-256 of each file that was read, by name.
        class_names: Names of the classes in the order of the logits; empty if they are not known. That published
            networks for ImageNet use its usual order (that of torchvision) is our assumption.
        converted_by: This package and its version.
    """

    model: str
    source: str
    licence: str
    files: dict[str, str]
    class_names: tuple[str, ...]
    converted_by: str


def convert(source: str | Path, model: str, out: str | Path, num_classes: int = IMAGENET_CLASSES) -> Network:
    """Reads published weights of a registered model and writes them as a saved network.

    Args:
        source: A TensorFlow checkpoint for a ConvRNN (its prefix, or its `.index` file); a torch state dict
            (`.pth`, read without unpickling anything but tensors) or `.safetensors` for a CORnet or a ResNet.
        model: Name of the registered model.
        out: Folder to write; `config.json` (the spec, with normalisation, presentation and readout),
            `model.safetensors` and `provenance.json`.
        num_classes: Classes of the weights.

    Returns:
        The network, in evaluation mode.

    Raises:
        VentralError: if the file is not there (the message says where it is published), cannot be read or does not fit
            the model (what is missing, left over or misshapen is listed), or no published weights are known of the
            model.
    """
    entry, source = model_entry(model), Path(source)
    if entry.published is None:
        raise VentralError(f"no published weights are known of '{model}'; see list_models(published=True)")
    of_tensorflow = entry.family == "convrnn"
    first = Path(f"{source}.index") if of_tensorflow and not source.name.endswith(".index") else source
    if all(why_no_file(path) in ("there is no such file", "it is a link to nothing") for path in (source, first)):
        kind = "a TensorFlow checkpoint" if of_tensorflow else "a state dict"
        raise VentralError(
            f"there is no file '{printable(first)}'; expected {kind}: the weights of '{model}' are published at"
            f" {entry.published.page}"
        )
    network = create_model(model, num_classes=num_classes)
    load: Callable[[Network, Mapping[str, Any]], None]
    if of_tensorflow:
        load_convrnn(network, read_tf_checkpoint(source))
        files = checkpoint_files(source)
    else:
        load = load_cornet if entry.family == "cornet" else load_resnet
        load(network, read_state_dict(source))
        files = [source]
    provenance = Provenance(
        model,
        entry.published.source,
        entry.published.weights_licence,
        {f.name: _sha256(f) for f in files},
        imagenet_classes() if num_classes == IMAGENET_CLASSES else (),
        f"ventralstream {__version__}",
    )
    save_network(network, out, asdict(provenance))
    return network.eval()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def class_names(folder: str | Path) -> tuple[str, ...]:
    """The names of a saved network's classes, from its `provenance.json`; empty if they are not known.

    Raises:
        VentralError: if the file is broken.
    """
    path = Path(folder) / PROVENANCE_FILE
    try:
        names = read_provenance(path).get("class_names", [])
    except VentralError as error:
        raise VentralError(f"'{printable(path)}' does not tell the names of the classes: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise VentralError(f"'{printable(path)}' does not tell the names of the classes: expected a list of texts")
    return tuple(names)


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's class names in its usual order, as torchvision carries them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
