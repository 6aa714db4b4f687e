"""Weights of the published CORnets: the names of their state dicts (docs/papers.md B.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ventralstream.area import AreaModule
from ventralstream.cells.cornet import CORnetRCell, CORnetSCell
from ventralstream.checkpoints.state_dict import named_tensors
from ventralstream.errors import VentralError
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.network import Network
from ventralstream.published.slots import Slot, fill, slots_of, tensors_of


def load_cornet(network: Network, state_dict: Mapping[str, Any]) -> None:
    """Loads an official CORnet state dict.

    Args:
        network: A network of cornet_z, cornet_r, cornet_rt or cornet_s.
        state_dict: Tensors by the official names; it may be nested and prefixed as `named_tensors` says.

    Raises:
        VentralError: if a tensor is missing, left over or misshapen (they are listed), or not of finite floating-point
            numbers; nothing is loaded then. Or if the network is not a CORnet.
    """
    slots = slots_of(_slots(network), network, "a published CORnet")
    source = f"the state dict of '{network.spec.name}'"
    fill(slots, named_tensors(state_dict, source), source)


def _slots(network: Network) -> Iterator[Slot]:
    for area in network.spec.areas:
        yield from _area(network.areas[area.name])


def _area(area: AreaModule) -> Iterator[Slot]:
    name = area.spec.name
    layers = [*area.drive_layers.layers, *area.output_layers.layers]
    convs = [m.conv for m in layers if isinstance(m, Conv2d)]
    norms = [m for m in layers if isinstance(m, StepNorm)]
    linear = [m for m in layers if isinstance(m, nn.Linear)]
    match area.cell:
        case CORnetRCell():
            yield from tensors_of(convs[0], f"{name}.conv_input")
            yield from tensors_of(norms[0].norms[0], f"{name}.norm_input")
            yield from tensors_of(area.cell.conv.conv, f"{name}.conv1")
            yield from tensors_of(area.cell.norm.norms[0], f"{name}.norm1")
        case CORnetSCell():
            yield from _repeated(area.cell, convs[0], name)
        case None if linear:
            yield from tensors_of(linear[0], f"{name}.linear")
        case None if norms:  # CORnet-S's V1
            for i, (conv, norm) in enumerate(zip(convs, norms, strict=True), 1):
                yield from tensors_of(conv, f"{name}.conv{i}")
                yield from tensors_of(norm.norms[0], f"{name}.norm{i}")
        case None if len(convs) == 1:  # CORnet-Z
            yield from tensors_of(convs[0], f"{name}.conv")
        case _:
            raise VentralError(f"area '{name}' is not one of a published CORnet")


def _repeated(cell: CORnetSCell, conv_input: nn.Conv2d, name: str) -> Iterator[Slot]:
    yield from tensors_of(conv_input, f"{name}.conv_input")
    for conv, label in ((cell.skip, "skip"), (cell.conv1, "conv1"), (cell.conv2, "conv2"), (cell.conv3, "conv3")):
        if conv is not None:
            yield from tensors_of(conv.conv, f"{name}.{label}")
    if cell.skip_norm is not None:
        yield from tensors_of(cell.skip_norm.norms[0], f"{name}.norm_skip")
    for norms, label in ((cell.norm1, "norm1"), (cell.norm2, "norm2"), (cell.norm3, "norm3")):
        for step, norm in enumerate(norms.norms if norms is not None else ()):
            yield from tensors_of(norm, f"{name}.{label}_{step}")
