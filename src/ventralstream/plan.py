"""The planner: the least work that gives exactly the numbers of the naive unroll.

`plan` is a pure function from (network spec, traits of its stages, request) to a `Program`. It

1. numbers values symbolically: the same stage, with the same parameters in force, of the same inputs is one value;
2. keeps what the request depends on, and of a cell's last step only the output;
3. marks what depends on no stimulus, which is computed for a batch of one and broadcast;
4. orders the stages by strongly connected components: a stage outside every loop does all its steps at once, stacked
   along the batch where it has weights.

It is exact: outputs, states and gradients are those of evaluating every area at every step. A stage that depends on
the batch (batch statistics in training) or on chance (dropout in training), or of which that is not known, is neither
merged nor stacked nor computed for a batch of one (`ventralstream.purity`); of its steps, those nothing depends on are
left out, so running statistics see only the steps that are computed (our choice).
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

import networkx as nx

from ventralstream.budget import check_steps
from ventralstream.errors import VentralError
from ventralstream.presentation import Frame, Presentation
from ventralstream.program import LEAVES, Fate, Instruction, Op, Program, Request, Stage, Traits, Value
from ventralstream.spec import IMAGE, Area, Connection, NetworkSpec, drive_inputs, feedback_inputs

MAX_STACK = 32  # steps in one stacked call: beyond it nothing is gained, and memory is lost


def horizon(spec: NetworkSpec, traits: Mapping[Stage, Traits], presentation: Presentation) -> int:
    """The step from which on all steps are alike: no window opens or closes, no parameter or frame changes."""
    longest = max((c.delay for c in spec.connections), default=0)
    after = [presentation.last_change + longest]
    for area in spec.areas:
        own = [t.distinct_steps for s, t in traits.items() if s[0] != "transit" and s[1] == area.name]
        own += [
            spec.first_arrival(c) - area.start + traits["transit", i].distinct_steps
            for i, c in spec.inputs(area.name)
            if ("transit", i) in traits
        ]
        own += [bound for _, c in spec.inputs(area.name) for bound in c.arrives if bound is not None]
        after.append(area.start + max([*own, 1]) + longest + 1)
        after.append((area.stop or 0) + longest + 1)
    return max(after)


def plan(spec: NetworkSpec, traits: Mapping[Stage, Traits], request: Request) -> Program:
    """Plans an unroll; see the module's docstring.

    Args:
        spec: The network.
        traits: Of every stage of the network.
        request: What is asked for.

    Raises:
        VentralError: if a wanted output does not exist, or a stage has no parameters for one of the steps.
    """
    check_steps(request.stop - request.start, len(spec.areas))
    separate = {name for name, _ in request.separate}
    traits = {**traits, **{("separate", name): Traits(pure=False) for name in separate}}
    tracer = _Tracer(spec, traits, request)
    tracer.run()
    outputs = {(name, step): tracer.wanted_output(name, step) for name, step in sorted(request.outputs)}
    states = {(name, step): tracer.updates[name, step] for name, step in sorted(request.states)}
    carried_outputs, carried_states = tracer.final_state() if request.carry else ({}, {})

    values = tracer.values
    roots = [*outputs.values(), *states.values(), *carried_outputs.values(), *carried_states.values()]
    if request.naive:
        roots += [v for vs in tracer.cells.values() for v in vs]
    live = _reachable(values, roots)
    read_states = {*states.values(), *carried_states.values()}
    read_states |= {a for v in live if values[v].op == "update" and (a := values[v].args[-1]) is not None}
    if not request.naive:
        for v in live:
            if values[v].op == "update" and v not in read_states:
                values[v] = Value("emit", values[v].owner, values[v].step, values[v].args, values[v].stimulus)
    instructions, stacks = _schedule(values, live, traits, request)
    return Program(
        request,
        tuple(values),
        _with_frees(instructions, {*roots}),
        outputs,
        states,
        carried_outputs,
        carried_states,
        tracer.fates(set(live)),
        tuple(tracer.created[v][1] for v in range(len(values))),
        stacks,
    )


class _Tracer:
    """Runs the network symbolically, giving equal computations equal numbers."""

    def __init__(self, spec: NetworkSpec, traits: Mapping[Stage, Traits], request: Request) -> None:
        self.spec, self.traits, self.request = spec, traits, request
        self.values: list[Value] = []
        self.numbers: dict[object, int] = {}
        self.outputs: dict[tuple[str, int], int] = {}
        self.updates: dict[tuple[str, int], int] = {}
        self.cells: dict[tuple[str, int], tuple[int, ...]] = {}  # values an (area, step) is made of
        self.created: dict[int, tuple[str, int]] = {}  # the (area, step) a value was first needed at
        self.at: tuple[str, int] = ("", -1)

    def run(self) -> None:
        """Traces all steps."""
        order = [self.spec.area(name) for name in self.spec.order()]
        areas = [(a, drive_inputs(self.spec, a.name), feedback_inputs(self.spec, a.name)) for a in order]
        for step in range(self.request.start, self.request.stop):
            for area, inputs, feedbacks in areas:
                self.at = (area.name, step)
                if area.active(step):
                    self._active(area, inputs, feedbacks, step)
                elif area.exists(step):
                    held = self.output(area.name, step - 1)
                    assert held is not None
                    self.cells[area.name, step] = (held,)
                    self.outputs[area.name, step] = self._separated(area.name, step, held)

    def _active(
        self,
        area: Area,
        inputs: tuple[tuple[int, Connection], ...],
        feedbacks: tuple[tuple[int, Connection], ...],
        step: int,
    ) -> None:
        name, count = area.name, step - area.start
        made: list[int] = []
        arrived = [self._arrival(i, c, step, count, made) for i, c in inputs]
        returned = [self._arrival(i, c, step, count, made) for i, c in feedbacks]
        feedback = None
        if any(v is not None for v in returned):
            feedback = self._stage("feedback", name, count, tuple(returned))
            made.append(feedback)
        entry = area.cell.feedback_entry if area.cell else "none"
        into_drive = (feedback,) if entry == "drive" else ()
        last = drive = self._stage("drive", name, count, (*arrived, *into_drive))
        made.append(drive)
        if area.cell is not None:
            into_update = feedback if entry == "update" else None
            last = self._stage("update", name, count, (drive, into_update, self._state(area, step)))
            self.updates[name, step] = last
            made.append(last)
        needs_raw = any(layer.reads_raw for layer in area.output)
        output = self._stage("output", name, count, (last, drive if needs_raw else None))
        self.cells[name, step] = (*made, output)
        self.outputs[name, step] = self._separated(name, step, output)

    def _separated(self, name: str, step: int, output: int) -> int:
        if (name, step) not in self.request.separate:
            return output
        return self._stage("separate", name, 0, (output,))

    def _arrival(self, index: int, c: Connection, step: int, count: int, made: list[int]) -> int | None:
        if not c.arrives_at(count):
            return None
        value = self.output(c.source, step - c.delay)
        if value is None:
            if self.spec.before_start == "silent":
                return None
            value = self._leaf("zeros", c.source)
        if c.layers:
            value = self._stage("transit", index, step - self.spec.first_arrival(c), (value,))
            made.append(value)
        return value

    def output(self, source: str, step: int) -> int | None:
        """The value a source puts out at a step; None if it does not exist then."""
        start = self.request.start
        if source == IMAGE:
            if step < 0:
                return None
            if step >= start:
                frame = self.request.presentation.frame(step, start)
                return self._leaf("frame", frame, 0, frame.is_stimulus)
        elif not self.spec.area(source).exists(step):
            return None
        if step < start:
            return self._leaf("carried", source, start - step, True)
        return self.outputs[source, step]

    def wanted_output(self, name: str, step: int) -> int:
        """As `output`, for a request; VentralError if there is none."""
        value = self.output(name, step)
        if value is None:
            area = self.spec.area(name)
            raise VentralError(f"area '{name}' has no output at step {step}; it is active from step {area.start}")
        return value

    def _state(self, area: Area, step: int) -> int:
        if step == area.start or (self.traits["update", area.name].forgets and not self.request.naive):
            return self._leaf("init", area.name)
        if step == self.request.start:
            return self._leaf("carried_state", area.name, 0, True)
        return self.updates[area.name, step - 1]

    def final_state(self) -> tuple[dict[tuple[str, int], int], dict[str, int]]:
        """The values that a state after the last step carries on."""
        stop = self.request.stop
        outputs, states = {}, {}
        for source in (IMAGE, *(a.name for a in self.spec.areas)):
            for lag in range(1, self.spec.history(source) + 1):
                value = self.output(source, stop - lag)
                if value is not None:
                    outputs[source, lag] = value
        for area in self.spec.areas:
            if area.cell is not None and area.active(stop) and area.active(stop - 1):
                inside = stop - 1 >= self.request.start
                states[area.name] = self.updates[area.name, stop - 1] if inside else self._state(area, stop)
        return outputs, states

    def _leaf(self, op: Op, owner: str | Frame, step: int = 0, stimulus: bool = False) -> int:
        return self._number(Value(op, owner, step, (), stimulus), (op, owner, step))

    def _stage(self, op: Op, owner: str | int, count: int, args: tuple[int | None, ...]) -> int:
        traits = self.traits[op, owner]
        if traits.last_step is not None and count > traits.last_step:
            what = self.spec.connections[owner] if isinstance(owner, int) else f"area '{owner}'"
            raise VentralError(
                f"{what} has normalisations for {traits.last_step + 1} steps and past_end='error',"
                f" so no step {count + 1} of it can be run"
            )
        step = min(count, traits.distinct_steps - 1)
        stimulus = any(self.values[a].stimulus for a in args if a is not None)
        merge = traits.pure and not self.request.naive
        value = Value(op, owner, step, args, stimulus or not merge)
        return self._number(value, (op, owner, step, args, None if merge else self.at))

    def _number(self, value: Value, key: object) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.values)
            self.values.append(value)
            self.created[self.numbers[key]] = self.at
        return self.numbers[key]

    def fates(self, live: set[int]) -> dict[tuple[str, int], Fate]:
        """What became of each (area, step)."""
        fates: dict[tuple[str, int], Fate] = {}
        for area in self.spec.areas:
            for step in range(self.request.start, self.request.stop):
                at = (area.name, step)
                made = [v for v in self.cells.get(at, ()) if v in live]
                new = [v for v in made if self.created[v] == at]
                if not area.active(step):
                    fates[at] = "inactive"
                elif not made:
                    fates[at] = "skipped"
                elif not new:
                    fates[at] = "reused"
                else:
                    fates[at] = "computed" if any(self.values[v].stimulus for v in new) else "batch-free"
        return fates


def _reachable(values: list[Value], roots: list[int]) -> list[int]:
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        v = waiting.pop()
        if v not in seen:
            seen.add(v)
            waiting += [a for a in values[v].args if a is not None]
    return sorted(seen)


def _schedule(
    values: list[Value], live: list[int], traits: Mapping[Stage, Traits], request: Request
) -> tuple[list[Instruction], frozenset[tuple[int, ...]]]:
    if request.stream or request.watched or request.naive:
        return [_single(values, v, traits, request.naive) for v in live], frozenset()
    by_stage: dict[Stage, list[int]] = defaultdict(list)
    graph = nx.DiGraph()
    for v in live:
        by_stage[values[v].stage].append(v)
        graph.add_node(values[v].stage)
        graph.add_edges_from((values[a].stage, values[v].stage) for a in values[v].args if a is not None)
    components = nx.condensation(graph)
    first = {n: min(by_stage[s][0] for s in components.nodes[n]["members"]) for n in components}
    instructions: list[Instruction] = []
    stacks: set[tuple[int, ...]] = set()
    for n in nx.lexicographical_topological_sort(components, key=first.get):
        stages = components.nodes[n]["members"]
        if len(stages) == 1 and not graph.has_edge(*2 * tuple(stages)):
            instructions += _stacked(values, by_stage[next(iter(stages))], traits, stacks)
        else:
            loop = sorted(v for s in stages for v in by_stage[s])
            instructions += [_single(values, v, traits) for v in loop]
    used = {a for i in instructions for a in i.args if a is not None and len(a) > 1}
    return instructions, frozenset(stacks & used)


def _pure(value: Value, traits: Mapping[Stage, Traits]) -> bool:
    return value.op in LEAVES or traits[value.stage].pure


def _single(values: list[Value], v: int, traits: Mapping[Stage, Traits], naive: bool = False) -> Instruction:
    value = values[v]
    args = tuple(None if a is None else (a,) for a in value.args)
    copies = value.op not in LEAVES and traits[value.stage].copies
    return Instruction(value, args, (v,), naive or not _pure(value, traits), copies)


def _stacked(
    values: list[Value], members: list[int], traits: Mapping[Stage, Traits], stacks: set[tuple[int, ...]]
) -> list[Instruction]:
    """Instructions for the values of one stage that do not depend on each other."""
    value = values[members[0]]
    if value.op in LEAVES or not _pure(value, traits):
        return [_single(values, v, traits) for v in members]
    groups: dict[object, list[int]] = defaultdict(list)
    for v in members:
        kind = tuple(None if a is None else values[a].stimulus for a in values[v].args)
        groups[values[v].op, values[v].step, kind].append(v)
    instructions = []
    for group in groups.values():
        for begin in range(0, len(group), MAX_STACK):
            outs = tuple(group[begin : begin + MAX_STACK])
            args = tuple(
                None if values[outs[0]].args[k] is None else tuple(values[v].args[k] for v in outs)
                for k in range(len(value.args))
            )
            # a light stage follows its input: stacked if that is, else step by step
            follows = any(a in stacks for a in args if a is not None)
            if len(outs) > 1 and (traits[value.stage].heavy or follows):
                instructions.append(Instruction(values[outs[0]], args, outs, expand=True))  # type: ignore[arg-type]
                stacks.add(outs)
            else:
                instructions += [_single(values, v, traits) for v in outs]
    return instructions


def _with_frees(instructions: list[Instruction], keep: set[int]) -> tuple[Instruction, ...]:
    last_use: dict[int, int] = {}
    last_stack: dict[tuple[int, ...], int] = {}
    for i, instruction in enumerate(instructions):
        for v in instruction.outs:
            last_use[v] = i
        if len(instruction.outs) > 1:
            last_stack[instruction.outs] = i
        for arg in instruction.args:
            for v in arg or ():
                last_use[v] = i
            if arg in last_stack:
                last_stack[arg] = i
    free: dict[int, list[int]] = defaultdict(list)
    stacks: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for v, i in last_use.items():
        if v not in keep:
            free[i].append(v)
    for stack, i in last_stack.items():
        stacks[i].append(stack)
    return tuple(
        dataclasses.replace(x, free=tuple(free[i]), free_stacks=tuple(stacks[i])) for i, x in enumerate(instructions)
    )
