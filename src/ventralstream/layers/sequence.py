"""A row of layers as one module, and what the planner must know of it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ventralstream.layers.conv import Conv2d, Pool2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import (
    Act,
    AddInput,
    Conv,
    Deconv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Pool,
    Shape,
)

ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "elu": F.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "gelu": F.gelu,
}
IN_PLACE = {"relu": torch.relu_, "elu": F.elu_}
ACTIVATION_OF_ZERO = {"sigmoid": 0.5, "softplus": math.log(2)}  # 0 for the others


class Activation(nn.Module):
    """The module of an `Act` spec."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor, in_place: bool = False) -> Tensor:
        result: Tensor = (IN_PLACE if in_place and self.name in IN_PLACE else ACTIVATIONS)[self.name](x)
        return result


class GlobalMean(nn.Module):
    """The module of a `GlobalPool` spec."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Residual(nn.Module):
    """The module of an `AddInput` spec: adds the area's input, through a 1x1 convolution if the channels differ."""

    def __init__(self, channels: int, raw_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(raw_channels, channels, 1, bias=False) if raw_channels != channels else None

    def forward(self, x: Tensor, raw: Tensor) -> Tensor:
        return x + (self.project(raw) if self.project is not None else raw)


class Sequence(nn.Module):
    """The module of a tuple of layer specs, applied to an input of `shape`.

    Args:
        layers: The specs.
        shape: The input's shape.
        raw_shape: The shape of the area's own input, for `AddInput`.
    """

    def __init__(self, layers: tuple[Layer, ...], shape: Shape, raw_shape: Shape | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in layers:
            self.layers.append(_module(layer, shape, raw_shape))
            shape = layer.output_shape(shape)
        self.needs_raw = any(isinstance(layer, AddInput) for layer in layers)

    def forward(self, x: Tensor, step: int = 0, raw: Tensor | None = None) -> Tensor:
        """Applies the layers; `step` counts the area's active steps, `raw` is the area's own input."""
        fresh = False  # whether x is this sequence's own, so that an activation may overwrite it: less memory to keep
        for layer in self.layers:
            if isinstance(layer, Activation):
                x = layer(x, fresh and not x._is_view())
            elif isinstance(layer, StepNorm):
                x = layer(x, step)
            elif isinstance(layer, Residual):
                x = layer(x, raw)
            else:
                x = layer(x)
            fresh = isinstance(layer, (StepNorm, Residual, Conv2d))
        return x


def _module(layer: Layer, shape: Shape, raw_shape: Shape | None) -> nn.Module:
    match layer:
        case Conv():
            return Conv2d(layer, shape[0])
        case Deconv():
            padding = max(0, (layer.kernel - layer.stride + 1) // 2)
            return nn.ConvTranspose2d(
                shape[0],
                layer.channels,
                layer.kernel,
                layer.stride,
                padding=padding,
                output_padding=layer.stride - layer.kernel + 2 * padding,
                bias=layer.bias,
            )
        case Pool():
            return Pool2d(layer)
        case GlobalPool():
            return GlobalMean()
        case Linear():
            return nn.Linear(shape[0], layer.features, layer.bias)
        case Act():
            return Activation(layer.name)
        case Norm():
            return StepNorm(layer, shape[0])
        case Dropout():
            return nn.Dropout(layer.p)
        case AddInput():
            assert raw_shape is not None
            return Residual(shape[0], raw_shape[0])
    raise TypeError(f"no module for the layer spec {layer}")
