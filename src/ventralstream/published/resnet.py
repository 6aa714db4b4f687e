"""Weights of torchvision's ResNets of basic blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ventralstream.checkpoints.state_dict import named_tensors
from ventralstream.errors import VentralError
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.sequence import Sequence
from ventralstream.network import Network
from ventralstream.published.slots import Slot, fill, slots_of, tensors_of


def load_resnet(network: Network, state_dict: Mapping[str, Any]) -> None:
    """Loads a torchvision ResNet-18 or -34 state dict.

    Args:
        network: A network of resnet18 or resnet34.
        state_dict: Tensors by torchvision's names; it may be nested and prefixed as `named_tensors` says.

    Raises:
        VentralError: if a tensor is missing, left over or misshapen (they are listed), or not of finite floating-point
            numbers; nothing is loaded then. Or if the network is not a ResNet.
    """
    slots = slots_of(_slots(network), network, "a ResNet of torchvision")
    source = f"the state dict of '{network.spec.name}'"
    fill(slots, named_tensors(state_dict, source), source)


def _slots(network: Network) -> Iterator[Slot]:
    spec = network.spec
    stem, decoder = network.areas[spec.areas[0].name], network.areas[spec.readout_area]
    yield from _pairs(stem.drive_layers, (("conv1", "bn1"),))
    for i, connection in enumerate(spec.connections):
        if not connection.layers:
            continue
        stage, _, block = connection.target.partition("_")
        if not block.isdigit():
            raise VentralError(f"'{spec.name}' is not a ResNet: connection {connection} has layers")
        name = f"{stage}.{int(block) - 1}"
        shortcut = connection.kind == "skip"
        names = (("downsample.0", "downsample.1"),) if shortcut else (("conv1", "bn1"), ("conv2", "bn2"))
        pairs = tuple((f"{name}.{conv}", f"{name}.{norm}") for conv, norm in names)
        yield from _pairs(network.transitions[str(i)].layers[0], pairs)
    yield from tensors_of(next(m for m in decoder.drive_layers.layers if isinstance(m, nn.Linear)), "fc")


def _pairs(layers: Sequence, names: tuple[tuple[str, str], ...]) -> Iterator[Slot]:
    convs = [m.conv for m in layers.layers if isinstance(m, Conv2d)]
    norms = [m.norms[0] for m in layers.layers if isinstance(m, StepNorm)]
    for (conv_name, norm_name), conv, norm in zip(names, convs, norms, strict=True):
        yield from tensors_of(conv, conv_name)
        yield from tensors_of(norm, norm_name)
