"""A network on disk: `config.json` (the architecture as data) beside `model.safetensors` (the tensors)."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ventralstream.checkpoints.fit import check_fit
from ventralstream.errors import VentralError
from ventralstream.files import replacing, write_text
from ventralstream.network import Network
from ventralstream.spec import NetworkSpec, spec_from_json

SPEC_FILE, TENSOR_FILE, PROVENANCE_FILE = "config.json", "model.safetensors", "provenance.json"


def save_network(network: Network, folder: str | Path) -> None:
    """Writes a network's spec and tensors into `folder` (made if need be)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().contiguous().cpu() for k, v in distinct_tensors(network).items()}
    with replacing(folder / TENSOR_FILE) as part:
        save_tensors(tensors, part)
    write_text(folder / SPEC_FILE, network.spec.to_text())


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes a safetensors file; OSError if the disk does not take it."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(f"cannot write '{path}': {error}") from None


def distinct_tensors(network: Network) -> dict[str, Tensor]:
    """The tensors of a network by name; one that several modules share only under the first name."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        tensors.setdefault(id(tensor), (name, tensor))
    return dict(tensors.values())


def load_spec(folder: str | Path) -> NetworkSpec:
    """Reads the spec of a saved network; VentralError if there is none or it is broken."""
    path = Path(folder) / SPEC_FILE
    if not path.is_file():
        raise VentralError(f"'{folder}' holds no saved network: there is no {SPEC_FILE} in it")
    return spec_from_json(path.read_text())


def load_network(folder: str | Path) -> Network:
    """Rebuilds a saved network, weights and all, in evaluation mode.

    Raises:
        VentralError: if the folder holds no network, or its tensors are broken or do not fit the spec (missing,
            left-over and misshapen ones are listed).
    """
    network = Network(load_spec(folder))
    load_tensors(network, Path(folder) / TENSOR_FILE)
    return network.eval()


def load_tensors(network: Network, path: Path) -> None:
    """Loads a safetensors file strictly into a network."""
    if not path.is_file():
        raise VentralError(f"there is no {path.name} in '{path.parent}'")
    try:
        tensors = load_file(path)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise VentralError(f"'{path}' is not a whole safetensors file ({error}); it may be truncated") from None
    own, found = ({k: t.shape for k, t in some.items()} for some in (distinct_tensors(network), tensors))
    check_fit(f"'{path}'", own, found, most=6)
    network.load_state_dict(tensors, strict=False)  # complete: what is not in it is one of them by another name
