"""New classes on old weights: a fresh last layer for another number of classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from ventralstream.errors import FreshReadout, VentralError
from ventralstream.layers.specs import Layer
from ventralstream.models.registry import build
from ventralstream.network import Network
from ventralstream.spec import Area, NetworkSpec
from ventralstream.values import Channels, fit


def count_classes(spec: NetworkSpec) -> int:
    """How many classes a network tells apart."""
    (count,) = spec.shapes().output[spec.readout_area]
    return count


def with_classes(spec: NetworkSpec, num_classes: int) -> NetworkSpec:
    """The same network for another number of classes.

    The last layer of the readout's area that sets its number of channels gets as many.

    Raises:
        VentralError: if that area has no such layer.
    """
    num_classes = fit(num_classes, Channels, "num_classes")
    area = spec.area(spec.readout_area)
    changed = _changed(area, num_classes)
    result = None
    if changed is not None:
        result = spec.replace(areas=tuple(changed if a is area else a for a in spec.areas))
    if result is None or count_classes(result) != num_classes:
        raise VentralError(
            f"the classes of '{spec.name}' cannot be changed: its readout area '{area.name}' does not end in a layer"
            " that sets how many there are"
        )
    return result


def for_classes_of(spec: NetworkSpec, tensors: Mapping[str, Tensor]) -> NetworkSpec:
    """A spec with as many classes as tensors are of that somebody saved of such a network."""
    count = count_classes(spec)
    try:
        other = with_classes(spec, count + 1)
    except VentralError:
        return spec
    shapes = tensor_shapes(other)
    for name, shape in tensor_shapes(spec).items():
        axes = [i for i, (a, b) in enumerate(zip(shape, shapes[name], strict=True)) if a != b]
        if axes and name in tensors and tensors[name].dim() == len(shape):
            return with_classes(spec, tensors[name].shape[axes[0]])
    return spec


def tensor_shapes(spec: NetworkSpec) -> dict[str, torch.Size]:
    """The shapes of a network's tensors by name, without making them."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Network(spec).state_dict().items()}


def _changed(area: Area, num_classes: int) -> Area | None:
    for where in ("output", "drive"):
        layers: list[Layer] = list(getattr(area, where))
        for i in reversed(range(len(layers))):
            if layers[i].sets_channels:
                name = next((f.name for f in fields(layers[i]) if f.name in ("channels", "features")), None)
                if name is None:
                    return None
                layers[i] = layers[i].replace(**{name: num_classes})
                return area.replace(**{where: tuple(layers)})
    return None


def fresh_readout(network: Network, num_classes: int, seed: int | None = None, stacklevel: int = 2) -> Network:
    """A network's weights with a fresh last layer for another number of classes; warns `FreshReadout`.

    Args:
        network: The network; it is left as it is, and given back where it has as many classes.
        num_classes: Classes.
        seed: Of the fresh weights; None takes the global random state.
        stacklevel: Whom the warning names, as in `warnings.warn`: 2 is the caller.

    Raises:
        VentralError: if the readout's area has no layer that sets the number of classes.
    """
    before = count_classes(network.spec)
    if before == num_classes:
        return network
    new = build(with_classes(network.spec, num_classes), seed)
    old, own = network.state_dict(), new.state_dict()
    kept = {name: old[name] for name, tensor in own.items() if tensor.shape == old[name].shape}
    new.load_state_dict(kept, strict=False)
    fresh = ", ".join(name for name in own if name not in kept)
    warnings.warn(
        f"'{network.spec.name}' told {before} classes apart: its readout of {num_classes} classes is fresh ({fresh});"
        " train it before you use its answers",
        FreshReadout,
        stacklevel=stacklevel,
    )
    like = next((p for p in network.parameters()), torch.zeros(()))
    return new.to(like.device, like.dtype).train(network.training)
