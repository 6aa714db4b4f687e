"""Adding an area's own input to its output."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """The module of an `AddInput` spec: adds the area's input, through a 1x1 convolution if the channels differ."""

    def __init__(self, channels: int, raw_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(raw_channels, channels, 1, bias=False) if raw_channels != channels else None

    def forward(self, x: Tensor, raw: Tensor) -> Tensor:
        return x + (self.project(raw) if self.project is not None else raw)
