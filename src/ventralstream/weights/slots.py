"""Filling a network from tensors of other names and layouts, strictly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
    check_fit(
        source,
        {name: slot.shape for name, slot in by_name.items()},
        {name: np.shape(value) for name, value in tensors.items()},
        optional=[name for name, slot in by_name.items() if not slot.required],
    )
    for name, slot in by_name.items():
        if name in tensors:
            slot.write(torch.as_tensor(np.asarray(tensors[name])).to(torch.get_default_dtype()))


def check_fit(
    source: str,
    expected: Mapping[str, Sequence[int]],
    found: Mapping[str, Sequence[int]],
    *,
    optional: Collection[str] = (),
    most: int | None = None,
) -> None:
    """Compares the names and shapes of tensors with those that a network has.

    Args:
        source: What the tensors are, for the message.
        expected: Shapes by name.
        found: Shapes by name.
        optional: Names that may be missing.
        most: Of each kind of problem, list no more than so many; None lists all.

    Raises:
        VentralError: if tensors are missing, left over or misshapen; they are listed.
    """
    problems = {
        "missing": [name for name in expected if name not in found and name not in optional],
        "left over": [name for name in found if name not in expected],
        "misshapen": [
            f"{name} {list(found[name])}, expected {list(shape)}"
            for name, shape in expected.items()
            if name in found and tuple(found[name]) != tuple(shape)
        ],
    }
    told = [f"{len(names)} {kind} ({_some(names, most)})" for kind, names in problems.items() if names]
    if told:
        raise VentralError(f"{source} does not fit the network: {'; '.join(told)}")


def tensors_of(module: nn.Module, name: str) -> Iterator[Slot]:
    """The parameters and statistics of one layer, under the same last names."""
    for key, tensor in module.state_dict(keep_vars=True).items():
        # the number of batches seen is in newer state dicts only, and matters to no result
        yield Slot(f"{name}.{key}", tuple(tensor.shape), tensor.detach().copy_, key != "num_batches_tracked")


def _some(names: list[str], most: int | None) -> str:
    return ", ".join(names[:most]) + (", ..." if most is not None and len(names) > most else "")
