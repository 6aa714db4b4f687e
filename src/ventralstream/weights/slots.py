"""Filling a network from tensors of other names and layouts, strictly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ventralstream.errors import VentralError


@dataclass(frozen=True)
class Slot:
    """Where one foreign tensor goes.

    Attributes:
        name: The foreign tensor's name.
        shape: Its shape, in its own layout.
        write: Puts it into the network.
        required: Whether it must be there.
    """

    name: str
    shape: tuple[int, ...]
    write: Callable[[Tensor], Any]
    required: bool = True


@torch.no_grad()
def fill(slots: Iterable[Slot], tensors: Mapping[str, Any], source: str) -> None:
    """Fills all slots, or changes nothing.

    Args:
        slots: Where each tensor goes.
        tensors: Arrays or tensors by name.
        source: What they are, for the message.

    Raises:
        VentralError: if tensors are missing, left over or misshapen; they are listed.
    """
    by_name = {slot.name: slot for slot in slots}
    misshapen = [
        f"{name} {list(np.shape(tensors[name]))}, expected {list(slot.shape)}"
        for name, slot in by_name.items()
        if name in tensors and tuple(np.shape(tensors[name])) != slot.shape
    ]
    complain(
        source,
        missing=[name for name, slot in by_name.items() if slot.required and name not in tensors],
        left_over=[name for name in tensors if name not in by_name],
        misshapen=misshapen,
    )
    for name, slot in by_name.items():
        if name in tensors:
            slot.write(torch.as_tensor(np.asarray(tensors[name])).to(torch.get_default_dtype()))


def complain(source: str, missing: list[str], left_over: list[str], misshapen: list[str]) -> None:
    """Raises VentralError if any of the lists holds anything."""
    problems = {"missing": missing, "left over": left_over, "misshapen": misshapen}
    told = [f"{len(names)} {kind} ({', '.join(names)})" for kind, names in problems.items() if names]
    if told:
        raise VentralError(f"{source} does not fit: {'; '.join(told)}")
