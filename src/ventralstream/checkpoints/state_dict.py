"""State dicts, whoever saved them: out of whatever they are nested in, and nothing but tensors."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ventralstream.errors import VentralError, printable, reason
from ventralstream.files import why_no_file

_WRAPPINGS = ("state_dict", "model_state_dict", "model")  # under which training checkpoints keep the network's tensors
_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
)  # of DDP and averaged models, torch.compile, Lightning
_COMPILED = "_orig_mod."  # no network of anyone has a part of this name: it may also stand within
_BESIDE = "n_averaged"  # the count that torch.optim.swa_utils.AveragedModel keeps beside its module


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch checkpoint or a safetensors file, as `named_tensors` gives them.

    Raises:
        VentralError: if it cannot be read, or holds anything but tensors; pickled objects are never loaded.
    """
    named = f"'{printable(path)}'"
    if why := why_no_file(path):
        raise VentralError(f"{named} cannot be read: {why}")
    try:
        if path.suffix == ".safetensors":
            return named_tensors(load_file(path), named)
        with warnings.catch_warnings():  # of torch, about pickles that it refuses next
            warnings.simplefilter("ignore")
            data = torch.load(path, map_location="cpu", weights_only=True)
    except VentralError:
        raise
    except SafetensorError as error:
        raise VentralError(f"{named} is not a whole safetensors file ({reason(error)})") from None
    except pickle.UnpicklingError:  # torch's own text advises to load it all the same
        raise VentralError(
            f"{named} cannot be read as a torch state dict: it is damaged, or holds pickled objects besides tensors,"
            " which could run code and are never loaded; save the state dict alone, with"
            " torch.save(net.state_dict(), FILE)"
        ) from None
    except Exception as error:  # torch raises what it likes for what it cannot read
        raise VentralError(f"{named} cannot be read as a torch state dict ({reason(error)})") from None
    return named_tensors(data, named)


def named_tensors(data: Any, source: str) -> dict[str, Tensor]:
    """The tensors of a state dict by the names that its network has for them.

    Args:
        data: A state dict, or a training checkpoint that has it under "state_dict", "model_state_dict" or "model", at
            any depth. Prefixes that all names have in common ("module.", "_orig_mod.", "model.") are taken off, each as
            often as it is there, and "_orig_mod." also within names.
        source: What it is, for the message.

    Raises:
        VentralError: if it is anything but tensors by name.
    """
    while isinstance(data, Mapping):
        inner = next((data[w] for w in _WRAPPINGS if isinstance(data.get(w), Mapping)), None)
        if inner is None:
            break
        data = inner
    if not isinstance(data, Mapping) or not data:
        what = "nothing" if isinstance(data, Mapping) else f"a value of type '{type(data).__name__}'"
        raise VentralError(f"{source} holds no state dict: expected tensors by name, got {what}")
    for name, value in data.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise VentralError(
                f"{source} holds no state dict: expected tensors by name, got a value of type"
                f" '{type(value).__name__}' under {printable(repr(name))}"
            )
    names = {n: n for n in data if n != _BESIDE}
    while prefix := next((p for p in _PREFIXES if names and all(n.startswith(p) for n in names.values())), ""):
        names = {n: short.removeprefix(prefix) for n, short in names.items()}
    names = {n: short.replace(_COMPILED, "") for n, short in names.items()}
    if len(set(names.values())) < len(names):
        raise VentralError(f"{source} has tensors that differ only in what wraps their names; expected one of each")
    return {short: data[n] for n, short in names.items()}
