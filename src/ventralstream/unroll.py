"""Planning and running one unroll: a request becomes a program, and a program on a stimulus its results.

Results are kept by the number of their value in the program and by form: as it is, or reduced as a record asks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ventralstream.area import Run
from ventralstream.budget import check_memory
from ventralstream.cells.base import channels_last
from ventralstream.errors import VentralError
from ventralstream.execute import Call, Execution
from ventralstream.layers import shortcuts
from ventralstream.onpath import StepMaps
from ventralstream.output import NetworkState, Recording
from ventralstream.plan import horizon, plan
from ventralstream.presentation import Frame
from ventralstream.program import Program, Request, Stage, Traits, Value
from ventralstream.record import Of, Record, Reduce, reduce_map
from ventralstream.remat import chunks
from ventralstream.spec import IMAGE, NetworkSpec, Shapes
from ventralstream.stimulus import Display, Stimulus

Form = tuple[Of | None, Reduce]  # of an area's output or state; None is the cell's state as it is
AS_IT_IS: Form = ("output", "none")
CELL: Form = (None, "none")
Recorded = tuple[Record, dict[str, tuple[int, ...]]]  # a record, and the steps it keeps of each area


Key = TypeVar("Key")
Made = TypeVar("Made")


class Unrollable(Protocol):
    """What is unrolled: a spec, and its modules."""

    spec: NetworkSpec
    areas: Any
    fast_convolutions: bool
    first_steps: dict[str, int]

    def shapes(self, height: int, width: int) -> Shapes:
        """Every area's shapes for that input size."""

    def parameters(self) -> Iterable[Tensor]:
        """Its parameters."""

    def buffers(self) -> Iterable[Tensor]:
        """Its buffers."""

    def stage(self, value: Value, compiled: bool = True) -> Call:
        """What computes a value, called with the step and the arguments; the compiled function if there is one."""


class Kept(Generic[Key, Made]):
    """What was made before, to be used again: the last so many things, for several threads at once."""

    MOST = 64

    def __init__(self) -> None:
        self._made: dict[Key, Made] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles begin empty."""
        return type(self), ()

    def get(self, key: Key, make: Callable[[], Made]) -> Made:
        """What was made for this key."""
        made = self._made.get(key)
        if made is None:
            made = make()
            with self._lock:
                while len(self._made) >= self.MOST:
                    del self._made[next(iter(self._made))]
                self._made[key] = made
        return made


class Plans:
    """The programs of one network.

    Far from the start all steps are alike, so requests that differ only in when they start share a program.
    """

    def __init__(self) -> None:
        self._known: Kept[Any, tuple[int, Kept[Request, Program]]] = Kept()

    def program(self, spec: NetworkSpec, traits: Mapping[Stage, Traits], request: Request) -> Program:
        """The program for a request; see `ventralstream.plan.plan`."""
        alike, programs = self._known.get(
            (request.presentation, tuple(traits.items())),
            lambda: (horizon(spec, traits, request.presentation), Kept()),
        )
        shift = max(0, request.start - alike)
        moved = request.shifted(-shift) if shift else request
        return programs.get(moved, lambda: plan(spec, traits, moved)).at(request)


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
        separate = self.program.request.separate
        if values.requires_grad and record.is_on_path and all((area, t) in separate for t in steps):
            values = StepMaps.of(values, [self.kept[self.program.outputs[area, t], AS_IT_IS] for t in steps])
        times = times_ms(net.spec, steps)
        return Recording(area, values, steps, times, net.first_steps[area], record.of, record.reduce)

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
    recorded = tuple(recorded)
    for t in logits:
        forms[program.outputs[net.spec.readout_area, t]].add(AS_IT_IS)
    for record, areas in recorded:
        at = program.states if record.of == "state" else program.outputs
        for area, steps in areas.items():
            for t in steps:
                forms[at[area, t]] |= {(record.of, record.reduce), *([AS_IT_IS] if record.is_on_path else [])}
    for v in program.carried_outputs.values():
        forms[v].add(AS_IT_IS)
    for v in program.carried_states.values():
        forms[v].add(CELL)
    running = execution(net, program, stimulus, frozenset(forms), state, remat, recorded)
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
    recorded: Iterable[Recorded] = (),
) -> Execution:
    """A program on a stimulus, ready to run; `wanted` are the values it gives out.

    Raises:
        VentralError: what is recorded, or kept for the backward pass, cannot be held in memory.
    """
    request = program.request
    own = next((p for p in net.parameters() if p.is_floating_point()), None)
    display = Display(net.spec, stimulus, request.presentation, request.stop - request.start, own)
    like = display.like
    shapes = net.shapes(*like.shape[-2:])
    if state is not None:
        check_state(net, state, Run(shapes, like), display.batch)
    if like.device.type == "cpu" and not torch.compiler.is_compiling() and isinstance(display.batch, int):
        kept = _kept_numbers(net, shapes, program) // (len(chunks(program)) if remat else 1)  # at least
        numbers = max(_recorded_numbers(net, shapes, recorded) + kept, _largest_map(shapes, program))
        what = f"what {request.stop - request.start} steps of {display.batch} images compute, record and keep"
        check_memory(numbers * display.batch * like.element_size(), what)

    def stage(value: Value, rows: int) -> Call:
        if value.op == "separate":
            return lambda step, x: x.view_as(x)
        call = net.stage(value, compiled=False) if request.watched else net.stage(value)
        if value.op in ("drive", "feedback"):
            context = Run(shapes, like, rows)
            return lambda step, *args: call(step, context, *args)
        return call

    def leaf(value: Value) -> Any:
        if isinstance(value.owner, Frame):
            return channels_last(display.frame(value.owner))
        name = str(value.owner)
        if value.op == "zeros":
            return channels_last(like.new_zeros(1, *shapes.output[name]))
        if value.op == "init":
            cell = net.areas[name].cell
            skip = cell.takes_no_state and not request.naive
            return None, None if skip else cell.init_state(1, shapes.drive[name], like)
        assert state is not None
        held = state.outputs.get(name, ()) if value.op == "carried" else state.cells.get(name, ())
        if len(held) < value.step or not held:
            raise _stranger(net.spec, name)
        if value.op == "carried":
            return _of_type(like, held[value.step - 1])
        return None, tuple(_of_type(like, x) for x in held)

    direct = not (request.watched or shortcuts.transformed())
    buffers = tuple(net.buffers()) if remat else None
    return Execution(program, stage, leaf, display.batch, wanted, buffers, direct, net.fast_convolutions)


def _recorded_numbers(net: Unrollable, shapes: Shapes, recorded: Iterable[Recorded]) -> int:
    """How many numbers the recordings of an image have."""
    total = 0
    for record, areas in recorded:
        for area, steps in areas.items():
            cell = net.areas[area].cell
            of_state = record.of == "state" and cell is not None
            parts = cell.state_shapes(shapes.drive[area]) if of_state else (shapes.output[area],)
            reduced = [part[:1] if record.reduce in ("mean", "max") else part for part in parts]
            total += len(steps) * sum(map(math.prod, reduced))
    return total


def _kept_numbers(net: Unrollable, shapes: Shapes, program: Program) -> int:
    """How many numbers of an image the backward pass keeps at least: the outputs of all areas that are computed."""
    if not torch.is_grad_enabled() or not any(p.requires_grad for p in net.parameters()):
        return 0
    computed = (i for i in program.instructions if i.value.op == "output" and i.value.stimulus)
    return sum(len(i.outs) * math.prod(shapes.output[str(i.value.owner)]) for i in computed)


def _largest_map(shapes: Shapes, program: Program) -> int:
    """How many numbers the largest map of an image has that is computed."""
    computed = {str(i.value.owner) for i in program.instructions if i.value.op == "output" and i.value.stimulus}
    return max((max(math.prod(shapes.drive[a]), math.prod(shapes.output[a])) for a in computed), default=0)


def check_state(net: Unrollable, state: NetworkState, run: Run, batch: int) -> None:
    """Checks that a state is this network's, for images of this size and number.

    Raises:
        VentralError: if it is not.
    """
    spec, shapes, size = net.spec, run.shapes, " x ".join(map(str, run.like.shape[-2:]))
    for strangers in (state.outputs.keys() - shapes.output.keys(), state.cells.keys() - shapes.drive.keys()):
        if strangers:
            raise _stranger(spec, min(strangers))
    for x in state.tensors():
        if x.shape[0] != batch:
            raise VentralError(f"the state is of a batch of {x.shape[0]}, the stimulus of {batch}")
        if x.device != run.like.device:
            raise VentralError(f"the state is on {x.device}, the stimulus on {run.like.device}; move one")
    for name, past in state.outputs.items():
        right = shapes.output[name]
        for held in past:
            if held is not None and held.shape[1:] != right:
                raise _other_state(spec, name, (held.shape[1:],), (right,), size)
    for name, parts in state.cells.items():
        cell = net.areas[name].cell
        if cell is None:
            raise _stranger(spec, name)
        found, wanted = [tuple(x.shape[1:]) for x in parts], list(cell.state_shapes(shapes.drive[name]))
        if found != wanted:
            raise _other_state(spec, name, found, wanted, size)


def _stranger(spec: NetworkSpec, name: str) -> VentralError:
    return VentralError(f"the state is of another network than '{spec.name}': they differ in '{name}'")


def _other_state(spec: NetworkSpec, name: str, found: Iterable[Any], right: Iterable[Any], size: str) -> VentralError:
    old, new = (" and ".join(str(list(shape)) for shape in shapes) for shapes in (found, right))
    return VentralError(f"the state's '{name}' is {old}; '{spec.name}' on images of {size} has {new}")


def _of_type(like: Tensor, x: Tensor | None) -> Tensor | None:
    if x is None or not (x.is_floating_point() or x.is_complex()):
        return x
    return x.to(like.dtype.to_complex() if x.is_complex() else like.dtype)


def _formed(value: Any, form: Form, batch: int) -> Any:
    of, reduce = form
    if of == "output":
        return reduce_map(value, reduce)
    if of is None:
        return value[1]
    return reduce_map(torch.cat([x.expand(batch, *x.shape[1:]) for x in value[1]], 1), reduce)
