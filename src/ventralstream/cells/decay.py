"""Time decay (paper A; papers.md A.3): h' = tau h + x, one trainable tau per area."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.layers.specs import Shape
from ventralstream.spec import CellSpec


class DecayCell(Cell):
    """h' = tau h + x; the output is h'."""

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.tensor([initial]))

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return (shape,)

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        h = torch.addcmul(drive[0], self.tau, state[0])
        return h, (h,)


@register_cell("decay")
@dataclass(frozen=True)
class Decay(CellSpec):
    """Time decay.

    Attributes:
        initial: Value at which tau starts (0 in the published networks).
    """

    initial: float = 0.0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> DecayCell:
        return DecayCell(self.initial)
