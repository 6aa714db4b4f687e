"""What a hook on a module sees: which step its call is, and the steps of all calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from ventralstream.program import LEAVES, Program

R = TypeVar("R")


@dataclass(frozen=True)
class Moment:
    """What is being computed.

    Attributes:
        owner: The area, or the index of the connection whose layers it is.
        stage: "drive", "feedback", "update", "emit" (an update whose state nobody reads), "output", or "transit".
        step: The network's step.
    """

    owner: str | int
    stage: str
    step: int


_NOW: ContextVar[Moment | None] = ContextVar("moment", default=None)


def now() -> Moment | None:
    """What a network is computing while a hook of one of its modules runs; None outside."""
    return _NOW.get()


def during(moment: Moment, call: Callable[..., R]) -> Callable[..., R]:
    """The same function, in which it is that moment."""

    def run(*args: Any) -> R:
        token = _NOW.set(moment)
        try:
            return call(*args)
        finally:
            _NOW.reset(token)

    return run


def calls(program: Program) -> dict[str, tuple[int, ...]]:
    """The steps of the successive calls of modules, by their names, in an unroll that is watched.

    Those are the areas, their `drive_layers`, `cell` and `output_layers`, and the connections' `transitions`; the
    layers in these but for the cells' are called with them. What a cell calls when is the cell's: `now` tells.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for instruction in program.instructions:
        value, step = instruction.value, program.steps[instruction.outs[0]]
        if value.op in LEAVES:
            continue
        if value.op == "transit":
            found[f"transitions.{value.owner}"].append(step)
        elif value.op == "output":
            found[f"areas.{value.owner}"].append(step)
            found[f"areas.{value.owner}.output_layers"].append(step)
        elif value.op in ("update", "emit"):
            found[f"areas.{value.owner}.cell"].append(step)
        elif value.op == "drive" and any(a is not None for a in instruction.args):
            found[f"areas.{value.owner}.drive_layers"].append(step)
    return {name: tuple(steps) for name, steps in sorted(found.items())}
