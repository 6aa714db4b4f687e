"""The module of one area: its stages, which the executor calls one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State, channels_last
from ventralstream.errors import VentralError
from ventralstream.layers import shortcuts
from ventralstream.layers.sequence import Sequence
from ventralstream.layers.specs import Shape
from ventralstream.purity import verdict_of_cell
from ventralstream.spec import Connection, NetworkSpec, Shapes, drive_inputs, feedback_inputs


@dataclass(frozen=True)
class Run:
    """What stays the same during one unroll.

    Attributes:
        shapes: The shapes.
        like: A tensor with the device and type to use.
        batch: The batch of a drive to which nothing arrives.
    """

    shapes: Shapes
    like: Tensor
    batch: int = 1


class AreaModule(nn.Module):
    """One area's parameters and stages; see `ventralstream.spec.Area`.

    Its call is the output stage, so that a hook on an area sees what other areas read.

    `drive` gives (drive, raw): the cell's drive (or the drive layers' output alone), and the area's own input where
    an output layer adds it. `update` gives (output, state).
    """

    def __init__(self, spec: NetworkSpec, name: str, shapes: Shapes) -> None:
        super().__init__()
        area = self.spec = spec.area(name)
        self.inputs = tuple(c for _, c in drive_inputs(spec, name))
        self.feedbacks = tuple(c for _, c in feedback_inputs(spec, name))
        self.input_indices = tuple(i for i, _ in drive_inputs(spec, name))
        self.feedback_indices = tuple(i for i, _ in feedback_inputs(spec, name))
        self.shapes = shapes
        self.tried: dict[str, tuple[object, bool]] = {}  # see ventralstream.traits
        self.input_channels = [shapes.arriving[i][0] for i, _ in drive_inputs(spec, name)]
        self.feedback_channels = [shapes.arriving[i][0] for i, _ in feedback_inputs(spec, name)]
        raw, shape = shapes.combined[name], shapes.drive[name]
        self.drive_layers = Sequence(area.drive, raw)
        self.cell: Cell | None = area.cell.build(shape, raw, sum(self.feedback_channels)) if area.cell else None
        after = area.cell.output_shape(shape) if area.cell else shape
        self.output_layers = Sequence(area.output, after, raw)
        self.needs_raw = self.output_layers.needs_raw

    def drive(self, step: int, run: Run, *arrived: Tensor | None) -> tuple[Drive, Tensor | None]:
        """Combines the inputs and applies the drive's layers, and the cell's drive."""
        inputs, feedback = arrived[: len(self.inputs)], arrived[len(self.inputs) :]
        shapes = run.shapes
        raw = x = self._combine(inputs, shapes)
        if x is None:  # silence: nothing has arrived, so the drive's layers give nothing
            x = channels_last(run.like.new_zeros(run.batch, *shapes.drive[self.spec.name]))
            raw = run.like.new_zeros(run.batch, *shapes.combined[self.spec.name])
        else:
            x = self.drive_layers(x, step)
        kept = raw if self.needs_raw else None
        if self.cell is None:
            return (x,), kept
        extra = {"raw": raw} if self.cell.needs_raw else {}
        if verdict_of_cell(self.cell, "drive") != "pure":  # it may overwrite what the layers need for their gradient
            x, extra = x.clone(), {name: value.clone() for name, value in extra.items() if value is not None}
        if self.cell.feedback_entry == "drive" and feedback:
            extra["feedback"] = feedback[0]
        return _tuple(self.cell, "drive", self.cell.drive(x, **extra)), kept

    def feedback(self, step: int, run: Run, *returned: Tensor | None) -> Tensor:
        """Resizes and concatenates the feedback, and applies the cell's path for it."""
        assert self.cell is not None
        size = run.shapes.drive[self.spec.name][1:]
        resized = [
            None if x is None else resize(x, size, c.resize) for x, c in zip(returned, self.feedbacks, strict=True)
        ]
        return self.cell.feedback(_concat(resized, self.feedback_channels, size))

    def update(self, step: int, drive: Drive, feedback: Tensor | None, state: State) -> tuple[Tensor, State]:
        """One step of the cell: (output, state)."""
        assert self.cell is not None
        extra = {"feedback": feedback} if self.cell.feedback_entry == "update" else {}
        output, new = self.cell(drive, state, step, **extra)
        return output, _tuple(self.cell, "new state", new)

    def emit(self, step: int, drive: Drive, feedback: Tensor | None, state: State) -> tuple[Tensor, None]:
        """The output of a step whose state nobody reads."""
        assert self.cell is not None
        if shortcuts.hooked(self.cell):  # its hooks see every step, as whole as the others
            return self.update(step, drive, feedback, state)[0], None
        return self.cell.emit(drive, state, step, feedback), None

    def forward(self, step: int, last: Tensor | Drive, raw: Tensor | None) -> Tensor:
        """The output layers, on the cell's output or on the drive."""
        x = last[0] if isinstance(last, tuple) else last
        result: Tensor = self.output_layers(x, step, raw)
        return result

    def _combine(self, arrived: tuple[Tensor | None, ...], shapes: Shapes) -> Tensor | None:
        if all(x is None for x in arrived):
            return None
        size = shapes.combined[self.spec.name][1:]
        resized = [None if x is None else resize(x, size, c.resize) for x, c in zip(arrived, self.inputs, strict=True)]
        if self.spec.combine == "concat":
            return _concat(resized, self.input_channels, size)
        there = [x for x in resized if x is not None]
        total = there[0]
        for x in there[1:]:
            total = total + x if self.spec.combine == "add" else total * x
        return total


def _tuple(cell: Cell, what: str, value: Any) -> tuple[Tensor, ...]:
    """What a cell gave, if it is a tuple: of a tensor, `drive[0]` would be the first image."""
    if not isinstance(value, tuple):
        raise VentralError(
            f"the {what} of the cell {type(cell).__name__} is a {type(value).__name__}; expected a tuple of tensors"
        )
    return value


class Transition(nn.Module):
    """The module of a connection's layers: its call gives what arrives, of what was sent."""

    def __init__(self, connection: Connection, shape: Shape) -> None:
        super().__init__()
        self.connection, self.shape = connection, shape
        self.tried: dict[str, tuple[object, bool]] = {}  # see ventralstream.traits
        self.layers = nn.ModuleList(Sequence(connection.layers, shape) for _ in range(max(1, connection.per_step)))

    def forward(self, step: int, x: Tensor) -> Tensor:
        """What arrives; `step` counts from the first arrival."""
        y: Tensor = self.layers[min(step, len(self.layers) - 1)](x, step)
        return x + y if self.connection.residual else y


def resize(x: Tensor, size: Shape, how: str) -> Tensor:
    """Brings a map to `size` (height, width); see `Connection.resize`. The identity where it has it."""
    if x.shape[2:] == torch.Size(size):
        return x
    if how == "nearest":
        return F.interpolate(x, size)
    return F.interpolate(x, size, mode="bilinear", align_corners=how == "bilinear")


def _concat(parts: list[Tensor | None], channels: list[int], size: Shape) -> Tensor:
    if len(parts) == 1 and parts[0] is not None:
        return parts[0]
    like = next(x for x in parts if x is not None)
    batch = max(x.shape[0] for x in parts if x is not None)
    full = [
        like.new_zeros(batch, n, *size) if x is None else x.expand(batch, *x.shape[1:])
        for x, n in zip(parts, channels, strict=True)
    ]
    return torch.cat(full, 1)
