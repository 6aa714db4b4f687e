"""Filling a network from tensors of other names and layouts, strictly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ventralstream.checkpoints.fit import check_fit


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
    check_fit(
        source,
        {name: slot.shape for name, slot in by_name.items()},
        {name: np.shape(value) for name, value in tensors.items()},
        optional=[name for name, slot in by_name.items() if not slot.required],
    )
    for name, slot in by_name.items():
        if name in tensors:
            slot.write(torch.as_tensor(np.asarray(tensors[name])).to(torch.get_default_dtype()))


def tensors_of(module: nn.Module, name: str) -> Iterator[Slot]:
    """The parameters and statistics of one layer, under the same last names."""
    for key, tensor in module.state_dict(keep_vars=True).items():
        # the number of batches seen is in newer state dicts only, and matters to no result
        yield Slot(f"{name}.{key}", tuple(tensor.shape), tensor.detach().copy_, key != "num_batches_tracked")
