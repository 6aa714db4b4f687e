"""Planning and running one unroll: a request becomes a program, and a program on a stimulus its results.

Results are kept by the number of their value in the program and by form: as it is, or reduced as a record asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Protocol

import torch
from torch import Tensor

from ventralstream.area import Run
from ventralstream.cells.base import channels_last
from ventralstream.execute import Call, Execution
from ventralstream.output import NetworkState
from ventralstream.plan import horizon, plan
from ventralstream.presentation import Frame
from ventralstream.program import Program, Request, Stage, Traits, Value
from ventralstream.record import Of, Record, Recording, Reduce, reduce_map
from ventralstream.spec import IMAGE, NetworkSpec, Shapes
from ventralstream.stimulus import Display, Stimulus

Form = tuple[Of | None, Reduce]  # of an area's output or state; None is the cell's state as it is
AS_IT_IS: Form = ("output", "none")
CELL: Form = (None, "none")
Recorded = tuple[Record, dict[str, tuple[int, ...]]]  # a record, and the steps it keeps of each area


class Unrollable(Protocol):
    """What is unrolled: a spec, and its modules."""

    spec: NetworkSpec
    areas: Any
    fast_convolutions: bool
    first_steps: dict[str, int]

    def shapes(self, height: int, width: int) -> Shapes:
        """Every area's shapes for that input size."""

    def stage(self, value: Value) -> Call:
        """What computes a value, called with the step and the arguments."""


class Plans:
    """The programs of one network, kept to be used again.

    Far from the start all steps are alike, so requests that differ only in when they start share a program.
    """

    KEPT = 64  # requests; a session uses a few

    def __init__(self) -> None:
        self._programs: dict[Any, Program] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Plans], tuple[()]]:
        """Copies and pickles begin empty."""
        return Plans, ()

    def program(self, spec: NetworkSpec, traits: Mapping[Stage, Traits], request: Request) -> Program:
        """The program for a request; see `ventralstream.plan.plan`."""
        shift = max(0, request.start - horizon(spec, traits, request.presentation))
        moved = request.shifted(-shift) if shift else request
        key = (moved, tuple(traits.items()))
        program = self._programs.get(key)
        if program is None:
            program = plan(spec, traits, moved)
            with self._lock:
                while len(self._programs) >= self.KEPT:
                    del self._programs[next(iter(self._programs))]
                self._programs[key] = program
        return program.shifted(shift)


@dataclass(frozen=True)
class Results:
    """What a run of a program gave.

    Attributes:
        program: The program.
        batch: The batch size.
        kept: By value and form, of the batch or of a batch of one.
    """

    program: Program
    batch: int
    kept: dict[tuple[int, Form], Any]

    def at(self, area: str, step: int, form: Form = AS_IT_IS) -> Tensor:
        """An area's output or state at a step: [B, ...]."""
        values = self.program.states if form[0] == "state" else self.program.outputs
        return self._full(self.kept[values[area, step], form])

    def stacked(self, area: str, steps: Iterable[int], form: Form = AS_IT_IS) -> Tensor:
        """The same at several steps: [B, T', ...]."""
        return torch.stack([self.at(area, t, form) for t in steps], dim=1)

    def recording(self, net: Unrollable, record: Record, area: str, steps: tuple[int, ...]) -> Recording:
        """What was recorded of one area."""
        values = self.stacked(area, steps, (record.of, record.reduce))
        return Recording(area, values, steps, times_ms(net.spec, steps), net.first_steps[area])

    def state(self, spec: NetworkSpec) -> NetworkState:
        """The state after the last step."""
        program, outputs = self.program, {}
        for source in (IMAGE, *(a.name for a in spec.areas)):
            past = [program.carried_outputs.get((source, lag)) for lag in range(1, spec.history(source) + 1)]
            if past:
                outputs[source] = tuple(None if v is None else self._full(self.kept[v, AS_IT_IS]) for v in past)
        cells = {a: tuple(map(self._full, self.kept[v, CELL])) for a, v in program.carried_states.items()}
        return NetworkState(program.request.stop, outputs, cells)

    def _full(self, x: Tensor) -> Tensor:
        return x.expand(self.batch, *x.shape[1:])


def times_ms(spec: NetworkSpec, steps: Iterable[int]) -> tuple[float, ...]:
    """The times of steps."""
    return tuple(t * spec.dt_ms for t in steps)


def run(
    net: Unrollable,
    program: Program,
    stimulus: Stimulus,
    logits: Iterable[int] = (),
    recorded: Iterable[Recorded] = (),
    state: NetworkState | None = None,
    remat: bool = False,
) -> Results:
    """Runs a program.

    Args:
        net: The network.
        program: Made of a request for what is wanted here.
        stimulus: What is shown.
        logits: The steps whose logits are wanted.
        recorded: What is to be recorded.
        state: The state to carry on from, if the request's start is not 0.
        remat: See `Network.forward`.
    """
    forms: dict[int, set[Form]] = defaultdict(set)
    for t in logits:
        forms[program.outputs[net.spec.readout_area, t]].add(AS_IT_IS)
    for record, areas in recorded:
        at = program.states if record.of == "state" else program.outputs
        for area, steps in areas.items():
            for t in steps:
                forms[at[area, t]].add((record.of, record.reduce))
    for v in program.carried_outputs.values():
        forms[v].add(AS_IT_IS)
    for v in program.carried_states.values():
        forms[v].add(CELL)
    running = execution(net, program, stimulus, frozenset(forms), state, remat)
    batch = running.batch
    kept = {(v, form): _formed(value, form, batch) for v, value in running for form in forms[v]}
    return Results(program, batch, kept)


def execution(
    net: Unrollable,
    program: Program,
    stimulus: Stimulus,
    wanted: frozenset[int],
    state: NetworkState | None = None,
    remat: bool = False,
) -> Execution:
    """A program on a stimulus, ready to run; `wanted` are the values it gives out."""
    request = program.request
    display = Display(net.spec, stimulus, request.presentation, request.stop - request.start)
    like = display.like
    context = Run(net.shapes(*like.shape[-2:]), like)

    def stage(value: Value, rows: int) -> Call:
        call = net.stage(value)
        if value.op in ("drive", "feedback"):
            here = replace(context, rows=rows)
            return lambda step, *args: call(step, here, *args)
        return call

    def leaf(value: Value) -> Any:
        if isinstance(value.owner, Frame):
            return channels_last(display.frame(value.owner))
        name = str(value.owner)
        if value.op == "zeros":
            return channels_last(like.new_zeros(1, *context.shapes.output[name]))
        if value.op == "init":
            cell = net.areas[name].cell
            skip = cell.takes_no_state and not request.naive
            return None, None if skip else cell.init_state(1, context.shapes.drive[name], like)
        assert state is not None
        if value.op == "carried":
            return state.outputs[name][value.step - 1]
        return None, state.cells[name]

    return Execution(program, stage, leaf, display.batch, wanted, remat, net.fast_convolutions)


def _formed(value: Any, form: Form, batch: int) -> Any:
    of, reduce = form
    if of == "output":
        return reduce_map(value, reduce)
    if of is None:
        return value[1]
    return reduce_map(torch.cat([x.expand(batch, *x.shape[1:]) for x in value[1]], 1), reduce)
