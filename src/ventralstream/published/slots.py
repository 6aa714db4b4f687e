"""Filling a network from tensors of other names and layouts, strictly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ventralstream.checkpoints.fit import check_fit
from ventralstream.errors import VentralError, printable
from ventralstream.network import Network


@dataclass(frozen=True)
class Slot:
    """Where one foreign tensor goes.

    Attributes:
        name: The foreign tensor's name.
        shape: Its shape, in its own layout.
        write: Puts it into the network.
        required: Whether it must be there.
        counts: Whether it counts something, in whole numbers, and weighs nothing.
    """

    name: str
    shape: tuple[int, ...]
    write: Callable[[Tensor], Any]
    required: bool = True
    counts: bool = False


@torch.no_grad()
def fill(slots: Iterable[Slot], tensors: Mapping[str, Any], source: str) -> None:
    """Fills all slots, or changes nothing.

    Args:
        slots: Where each tensor goes.
        tensors: Arrays or tensors by name.
        source: What they are, for the message.

    Raises:
        VentralError: if tensors are missing, left over or misshapen (they are listed), or a value is no tensor of
            finite floating-point numbers.
    """
    by_name = {slot.name: slot for slot in slots}
    check_fit(
        source,
        {name: slot.shape for name, slot in by_name.items()},
        {name: _shape(value) for name, value in tensors.items()},
        optional=[name for name, slot in by_name.items() if not slot.required],
    )
    weights = {
        name: _weights(tensors[name], f"the tensor '{printable(name)}' of {source}", slot.counts)
        for name, slot in by_name.items()
        if name in tensors
    }
    for name, values in weights.items():
        by_name[name].write(values)


def slots_of(slots: Iterator[Slot], network: Network, family: str) -> list[Slot]:
    """All slots of a network.

    Args:
        slots: Made by walking through the layers that a network of the family has.
        network: The network.
        family: What it should be, e.g. "a published CORnet".

    Raises:
        VentralError: if it has other layers.
    """
    try:
        return list(slots)
    except VentralError:
        raise
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        RuntimeError,
    ):  # RuntimeError: a `next` without any
        raise VentralError(f"'{printable(network.spec.name)}' is not {family}: it has other layers") from None


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return tuple(np.shape(value))
    except ValueError:  # nested lists of several lengths
        return ()


def _weights(value: Any, what: str, counts: bool) -> Tensor:
    """A foreign value as weights of the default type."""
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except TypeError:
        raise VentralError(f"{what} is of type '{type(value).__name__}', expected floating-point numbers") from None
    if counts and not tensor.is_complex():
        return tensor.cpu()
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        kind = str(tensor.dtype).removeprefix("torch.") if tensor.layout == torch.strided else str(tensor.layout)
        raise VentralError(f"{what} is of type {kind}, expected floating-point numbers")
    weights = tensor.cpu().to(torch.get_default_dtype())
    if not weights.isfinite().all():
        raise VentralError(f"{what} holds {int((~weights.isfinite()).sum())} numbers that are not finite")
    return weights


def tensors_of(module: nn.Module, name: str) -> Iterator[Slot]:
    """The parameters and statistics of one layer, under the same last names."""
    for key, tensor in module.state_dict(keep_vars=True).items():
        counts = key == "num_batches_tracked"  # in newer state dicts only, and matters to no result
        yield Slot(f"{name}.{key}", tuple(tensor.shape), tensor.detach().copy_, not counts, counts)
