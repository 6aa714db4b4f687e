"""What the planner makes of a request, as data: a program of calls, whose values have numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ventralstream.presentation import Frame, Presentation

Op = Literal[
    "frame",
    "zeros",
    "init",
    "carried",
    "carried_state",
    "transit",
    "drive",
    "feedback",
    "update",
    "emit",
    "output",
    "separate",
]
LEAVES = ("frame", "zeros", "init", "carried", "carried_state")
Stage = tuple[str, str | int]  # ("drive" | "feedback" | "update" | "output", area) or ("transit", connection index)


@dataclass(frozen=True)
class Traits:
    """What the planner must know of a stage's module.

    Attributes:
        distinct_steps: The first so many active steps differ (per-step parameters); all later ones are as the last.
        last_step: The last active step it may be run at; None if there is none.
        pure: Whether the result for an image depends on that image's inputs alone (no batch statistics, no chance).
        heavy: Whether it has convolutions or linear layers, so that stacking steps pays.
        forgets: Of "update": whether the result does not depend on the state.
        copies: Whether it gets copies of its arguments, because it may overwrite them.
    """

    distinct_steps: int = 1
    last_step: int | None = None
    pure: bool = True
    heavy: bool = False
    forgets: bool = False
    copies: bool = False


@dataclass(frozen=True)
class Request:
    """What an unroll is asked for. Steps count from the network's first step.

    Attributes:
        start, stop: The steps to run: start..stop-1. A start > 0 carries on from a state.
        presentation: What is shown.
        outputs: (area, step) pairs whose output is wanted.
        states: (area, step) pairs whose cell state is wanted.
        separate: (area, step) pairs whose output is a value of its own, for the whole batch, also where it equals
            another's: the gradient with respect to it is then that step's.
        carry: Whether the state after the last step is wanted.
        stream: Keeps the order of time and stacks nothing, so that results come as soon as they can.
        watched: Somebody sees the calls (hooks, a tracer): as `stream`, and each is of the whole batch.
        naive: Plans nothing: every area at every step. For comparison and counting only.
    """

    start: int
    stop: int
    presentation: Presentation
    outputs: frozenset[tuple[str, int]] = frozenset()
    states: frozenset[tuple[str, int]] = frozenset()
    separate: frozenset[tuple[str, int]] = frozenset()
    carry: bool = False
    stream: bool = False
    watched: bool = False
    naive: bool = False

    def shifted(self, by: int) -> Request:
        """The same, asked for `by` steps later."""
        return replace(
            self,
            start=self.start + by,
            stop=self.stop + by,
            outputs=frozenset((a, t + by) for a, t in self.outputs),
            states=frozenset((a, t + by) for a, t in self.states),
            separate=frozenset((a, t + by) for a, t in self.separate),
        )


@dataclass(frozen=True)
class Value:
    """A symbolic value: one evaluation of one stage.

    Attributes:
        op: What computes it.
        owner: The area (or "image"), or the connection's index for "transit"; the frame for "frame".
        step: The area's active step that is passed to the stage; for "carried" how many steps ago.
        args: Indices of its inputs; None where nothing arrives.
        stimulus: Whether it depends on the stimulus.
    """

    op: Op
    owner: str | int | Frame
    step: int
    args: tuple[int | None, ...]
    stimulus: bool

    @property
    def stage(self) -> Stage:
        """The stage that computes it."""
        op = "update" if self.op == "emit" else self.op
        return (op, repr(self.owner) if isinstance(self.owner, Frame) else self.owner)


@dataclass(frozen=True)
class Instruction:
    """One call: `len(outs)` values of one stage at once.

    Attributes:
        value: The first of the values, standing for all.
        args: For each argument, the values (one per out) that are stacked; None where nothing arrives.
        outs: The values computed.
        expand: Whether arguments of batch one must be expanded first (stacking, or a stage that is not pure).
        copy: Whether the arguments must be copied first.
        free: Values that nothing needs afterwards.
    """

    value: Value
    args: tuple[tuple[int, ...] | None, ...]
    outs: tuple[int, ...]
    expand: bool
    copy: bool = False
    free: tuple[int, ...] = ()
    free_stacks: tuple[tuple[int, ...], ...] = ()


Fate = Literal["computed", "batch-free", "reused", "skipped", "inactive"]


@dataclass(frozen=True, repr=False)
class Program:
    """What to compute, in order.

    Attributes:
        request: What was asked for.
        values: All symbolic values; instructions refer to them by index.
        instructions: The calls.
        outputs, states: Where to find what was requested, by (area, step).
        carried_outputs, carried_states: Where to find what a state carries on: (source, steps ago), area.
        fates: What became of each (area, step) of the naive unroll.
        steps: The step at which each value is first needed.
    """

    request: Request
    values: tuple[Value, ...]
    instructions: tuple[Instruction, ...]
    outputs: dict[tuple[str, int], int]
    states: dict[tuple[str, int], int]
    carried_outputs: dict[tuple[str, int], int]
    carried_states: dict[str, int]
    fates: dict[tuple[str, int], Fate]
    steps: tuple[int, ...]
    stacks: frozenset[tuple[int, ...]] = field(default_factory=frozenset)

    def at(self, request: Request) -> Program:
        """The same program for a request that differs in its start alone: only the steps' names depend on it."""
        by = request.start - self.request.start
        if by == 0:
            return self
        return replace(
            self,
            request=request,
            outputs={(a, t + by): v for (a, t), v in self.outputs.items()},
            states={(a, t + by): v for (a, t), v in self.states.items()},
            fates={(a, t + by): fate for (a, t), fate in self.fates.items()},
            steps=tuple(t + by for t in self.steps),
        )

    def count(self, *fates: Fate) -> int:
        """How many (area, step) pairs met one of these fates."""
        return sum(fate in fates for fate in self.fates.values())

    @property
    def area_steps_naive(self) -> int:
        """(area, step) pairs that the naive unroll evaluates."""
        return len(self.fates) - self.count("inactive")

    @property
    def area_steps_planned(self) -> int:
        """(area, step) pairs that are evaluated, those for a batch of one included."""
        return self.count("computed", "batch-free")

    def __repr__(self) -> str:
        return f"Program of {len(self.instructions)} calls\n{self.summary()}"

    def summary(self) -> str:
        """The fate of every area at every step, as text."""
        mark = {"computed": "#", "batch-free": "1", "reused": "=", "skipped": ".", "inactive": " "}
        areas = list(dict.fromkeys(name for name, _ in self.fates))
        steps = range(self.request.start, self.request.stop)
        width = max(len(a) for a in areas)
        rows = [f"{'step':>{width}}  " + "".join(f"{t % 10}" for t in steps)]
        for area in areas:
            rows.append(f"{area:>{width}}  " + "".join(mark[self.fates[area, t]] for t in steps))
        rows.append(
            f"{self.area_steps_planned} of {self.area_steps_naive} area-steps:"
            f" # {self.count('computed')} computed, 1 {self.count('batch-free')} computed for a batch of one,"
            f" = {self.count('reused')} reused, . {self.count('skipped')} skipped"
        )
        return "\n".join(rows)
