"""Which device to compute on: one answer for every command and function."""

from __future__ import annotations

import torch

from ventralstream.errors import VentralError, unknown

AUTO = "auto"
KINDS = ("auto", "cpu", "cuda", "mps")


def choose_device(device: str | torch.device | None = AUTO, *, double: bool = False) -> torch.device:
    """The device of a name, checked to be there.

    Args:
        device: "auto" (or None): an NVIDIA or AMD GPU ("cuda") if there is one, else Apple's ("mps"), else the
            processor. Or "cpu", "cuda", "cuda:1", "mps", or a device, which is given back.
        double: Whether it must compute in float64, which Apple's GPUs do not.

    Raises:
        VentralError: for an unknown name (naming the nearest one), or a device that is not there.
    """
    if isinstance(device, torch.device):
        return device
    name = AUTO if device is None else str(device)
    kind, colon, number = name.partition(":")
    if kind not in KINDS or (colon and not (number.isascii() and number.isdigit())) or (colon and kind == AUTO):
        raise unknown("device", name, KINDS)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if kind == AUTO:
        return torch.device("cuda" if cuda else "mps" if mps and not double else "cpu")
    if kind == "cuda" and not (cuda and int(number or 0) < torch.cuda.device_count()):
        count = torch.cuda.device_count() if cuda else 0
        raise VentralError(
            f"the device '{name}' is not here: torch finds {count} CUDA GPUs; 'auto' takes what there is"
        )
    if kind == "mps" and not mps:
        raise VentralError(f"the device '{name}' is not here: torch finds no Apple GPU; 'auto' takes what there is")
    if kind == "mps" and double:
        raise VentralError("Apple's GPUs do not compute in float64, which this needs; use 'cpu', or 'auto'")
    if kind == "mps" and int(number or 0):
        raise VentralError(f"the device '{name}' is not here: there is one Apple GPU, 'mps'")
    if kind == "cpu" and int(number or 0):
        raise VentralError(f"the device '{name}' is not here: there is one processor, 'cpu'")
    return torch.device(name)


def device_name(device: str) -> str:
    """What the device of a name is here: "cpu", "mps", or the GPU's name; "gpu" is whichever there is."""
    found = choose_device(AUTO if device == "gpu" else device)
    return torch.cuda.get_device_name(found) if found.type == "cuda" else found.type
