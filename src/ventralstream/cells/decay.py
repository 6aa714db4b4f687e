"""Time decay (Nayebi et al. 2018; docs/papers.md A.3): h' = tau h + x, one tau per area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.layers import shortcuts
from ventralstream.layers.specs import Shape
from ventralstream.spec import CellSpec
from ventralstream.values import Real


class DecayCell(Cell):
    """h' = tau h + x; the output is h'."""

    takes_no_state = True
    pure = ("update",)

    def __init__(self, spec: Decay) -> None:
        super().__init__()
        self.initial = spec.initial
        tau = torch.tensor([spec.initial])
        self.tau: Tensor
        if spec.trainable:
            self.tau = nn.Parameter(tau)
        else:
            self.register_buffer("tau", tau)
        self._zero = spec.initial == 0
        self._known = (self.tau, self.tau._version)  # of which value of tau that is known

    def forgets(self) -> bool:
        if isinstance(self.tau, nn.Parameter):
            return False
        if self.tau.is_meta:
            return self.initial == 0
        if shortcuts.transformed():  # nobody can look now
            return shortcuts.are_settled() and self._zero
        tensor, version = self._known
        if tensor is not self.tau or version != self.tau._version:  # loaded, or written to
            self._zero = not self.tau.any().item()  # a GPU has to wait for it, so once only
            self._known = (self.tau, self.tau._version)
        return self._zero

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves and casts leave what is known of tau."""
        tensor, version = self._known
        same = tensor is self.tau and version == self.tau._version
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if same:
            self._known = (self.tau, self.tau._version)
        return self

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return (shape,)

    def update(self, drive: Drive, state: State | None, step: int) -> tuple[Tensor, State]:
        h = drive[0] if state is None else torch.addcmul(drive[0], self.tau, state[0])
        return h, (h,)


@register_cell("decay")
@dataclass(frozen=True)
class Decay(CellSpec):
    """Time decay.

    Attributes:
        initial: Value at which tau starts (0 in the published networks).
        trainable: Whether tau is learned. The published networks also have an untrained one, 0, in every area without
            another cell; while it is 0 the planner knows that the area keeps nothing.
    """

    initial: Real = 0.0
    trainable: bool = True

    @property
    def remembers(self) -> bool:
        return self.trainable or self.initial != 0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> DecayCell:
        return DecayCell(self)
