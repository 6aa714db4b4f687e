"""A row of layers as one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ventralstream.layers import shortcuts
from ventralstream.layers.activation import overwriting
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.residual import Residual
from ventralstream.layers.specs import Layer, Shape


class Sequence(nn.Module):
    """The module of a tuple of layer specs, applied to an input of `shape`.

    Args:
        layers: The specs.
        shape: The input's shape.
        raw_shape: The shape of the area's own input, for layers that read it; the input's shape by default.
    """

    def __init__(self, layers: tuple[Layer, ...], shape: Shape, raw_shape: Shape | None = None) -> None:
        super().__init__()
        self.specs = layers
        raw_shape = raw_shape or shape
        self.layers = nn.ModuleList()
        for layer in layers:
            self.layers.append(layer.build(shape, raw_shape))
            shape = layer.output_shape(shape)
        self.needs_raw = any(layer.reads_raw for layer in layers)

    def forward(self, x: Tensor, step: int = 0, raw: Tensor | None = None) -> Tensor:
        """Applies the layers; `step` counts the area's active steps, `raw` is the area's own input."""
        # whether x is this sequence's own and nobody looks, so that an activation may overwrite it: less memory to keep
        # (compiled code sees to that itself, and cannot ask what is a view: the graph would break there)
        own, overwrite = False, shortcuts.allowed() and not torch.compiler.is_compiling()
        for spec, layer in zip(self.specs, self.layers, strict=True):
            write = overwriting(layer) if own and not x._is_view() else None
            if write is not None:
                x = write(x)
            else:
                x = layer(x, *((step,) if spec.reads_step else ()), *((raw,) if spec.reads_raw else ()))
            own = overwrite and isinstance(layer, (StepNorm, Residual, Conv2d))
        return x
