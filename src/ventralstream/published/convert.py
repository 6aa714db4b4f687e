"""Published weights to ours: a TensorFlow checkpoint or a torch state dict in, a saved network out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ventralstream.checkpoints import save_network
from ventralstream.checkpoints.disk import PROVENANCE_FILE
from ventralstream.errors import VentralError
from ventralstream.files import write_text
from ventralstream.models import create_model, model_entry
from ventralstream.network import Network
from ventralstream.published.convrnn import load_convrnn
from ventralstream.published.cornet import load_cornet
from ventralstream.published.resnet import load_resnet
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
        VentralError: if the file cannot be read or does not fit the model (what is missing, left over or misshapen is
            listed), or no published weights are known of the model.
    """
    entry = model_entry(model)
    if entry.published is None:
        raise VentralError(f"no published weights are known of '{model}'; see list_models(published=True)")
    network = create_model(model, num_classes=num_classes)
    source = Path(source)
    load: Callable[[Network, Mapping[str, Any]], None]
    if entry.family == "convrnn":
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
        {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
        imagenet_classes() if num_classes == IMAGENET_CLASSES else (),
        f"ventralstream {__version__}",
    )
    save_network(network, out)
    write_text(Path(out) / PROVENANCE_FILE, json.dumps(asdict(provenance), indent=1))
    return network.eval()


def class_names(folder: str | Path) -> tuple[str, ...]:
    """The names of a saved network's classes, from its `provenance.json`; empty if they are not known.

    Raises:
        VentralError: if the file is broken.
    """
    path = Path(folder) / PROVENANCE_FILE
    if not path.is_file():
        return ()
    try:
        return tuple(map(str, json.loads(path.read_text())["class_names"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VentralError(f"'{path}' does not tell the names of the classes ({error!r})") from None


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a torch checkpoint or safetensors file; a training checkpoint's are those under "state_dict".

    Raises:
        VentralError: if it cannot be read, or holds anything but tensors.
    """
    if not path.is_file():
        raise VentralError(f"there is no file '{path}'")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        data = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise VentralError(f"'{path}' is not a whole safetensors file ({error})") from None
    except Exception as error:  # torch raises what it likes for what it cannot read
        first = str(error).strip().split("\n")[0]
        raise VentralError(f"'{path}' cannot be read as a torch state dict ({first})") from None
    if isinstance(data, dict) and isinstance(data.get("state_dict"), dict):
        data = data["state_dict"]
    if not isinstance(data, dict) or not all(isinstance(v, torch.Tensor) for v in data.values()):
        raise VentralError(f"'{path}' holds no state dict: expected tensors by name")
    return data


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's class names in its usual order, as torchvision carries them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
