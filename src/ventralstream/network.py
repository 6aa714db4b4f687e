"""The network: a module that plans and runs unrolls of its spec."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ventralstream.area import AreaModule, Run, Transition
from ventralstream.cells.base import channels_last
from ventralstream.errors import VentralError, unknown
from ventralstream.execute import Call, Execution
from ventralstream.layers.init import initialise
from ventralstream.layers.norm import StepNorm
from ventralstream.plan import Program, Request, Stage, Traits, Value, horizon, plan
from ventralstream.presentation import Frame, Movie, Presentation
from ventralstream.readout import Readout, Threshold
from ventralstream.record import Record, Recording, reduce_map
from ventralstream.spec import IMAGE, Connection, NetworkSpec, Shapes
from ventralstream.timing import first_steps, remembers
from ventralstream.traits import traits_of_area, traits_of_transition

Stimulus = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True)
class NetworkState:
    """What a network carries from one unroll to the next.

    Attributes:
        step: Steps run so far.
        outputs: Per source (an area or "image"), its last outputs, the newest first; None where there was none.
        cells: Per area with a cell, the cell's state.
    """

    step: int
    outputs: dict[str, tuple[Tensor | None, ...]]
    cells: dict[str, tuple[Tensor, ...]]

    def detach(self) -> NetworkState:
        """The same state, cut off from the graph of gradients (truncated backpropagation through time)."""
        return self.map(lambda x: x.detach())

    def map(self, f: Any) -> NetworkState:
        """The state with f applied to every tensor."""
        outputs = {k: tuple(None if x is None else f(x) for x in v) for k, v in self.outputs.items()}
        return NetworkState(self.step, outputs, {k: tuple(map(f, v)) for k, v in self.cells.items()})


@dataclass(frozen=True)
class Output:
    """What an unroll gives.

    Attributes:
        output: [B, K], what the readout decides.
        logits: [B, T', K], of the steps the readout needs.
        steps, times_ms: Those T' steps, and their times.
        decided_step: [B], the step each image's decision is taken from (the last one for a mean).
        recordings: What was recorded, per area.
        state: The state after the last step, if it was asked for.
    """

    output: Tensor
    logits: Tensor
    steps: tuple[int, ...]
    times_ms: tuple[float, ...]
    decided_step: Tensor
    recordings: dict[str, Recording] = field(default_factory=dict)
    state: NetworkState | None = None

    def __getitem__(self, area: str) -> Recording:
        if area not in self.recordings:
            raise unknown("recorded area", area, self.recordings)
        return self.recordings[area]


@dataclass(frozen=True)
class Decision:
    """What early exit gives; see `Network.decide`.

    Attributes:
        logits: [B, K], at the step of the decision.
        step, times_ms: [B], when each image was decided.
        confidence: [B], the largest class probability at that step.
        confident: [B], whether the threshold was reached (else it is the most confident step's answer).
    """

    logits: Tensor
    step: Tensor
    times_ms: Tensor
    confidence: Tensor
    confident: Tensor


class _Named(nn.Module):
    """Modules by name; unlike nn.ModuleDict it takes every name ("keys", "type", ...)."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __contains__(self, name: str) -> bool:
        return name in self._modules


class Network(nn.Module):
    """A network built from its spec.

    Images are given normalised (`spec.mean`, `spec.std`), [B, C, H, W]; any size works. A presentation with a mask
    takes `{"image": images, "mask": masks}`, a movie [B, T, C, H, W].

    Attributes:
        spec: Its spec.
        first_steps: Per area, the first step at which the image drives it.
        fast_convolutions: On a CPU, whether each convolution takes the form that is fastest, and a kernel's gradient is
            made once for many steps (`ventralstream.layers.cpu.convolution`): equal to the precision of the numbers'
            type, but not to the last bit, and differentiable once. On by default.
    """

    fast_convolutions: bool = True

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        shapes = spec.shapes()
        self.first_steps = first_steps(spec)
        self.areas = _Named({a.name: AreaModule(spec, a.name, shapes) for a in spec.areas})
        self.transitions = _Named(
            {str(i): Transition(c, shapes.output[c.source]) for i, c in enumerate(spec.connections) if c.layers}
        )
        share_weights(self, spec)
        initialise(self, spec.init)
        for area in spec.areas:
            if area.cell is not None:
                self.areas[area.name].cell.start()
        self.to(memory_format=torch.channels_last)  # pooling is several times faster so, and no operation slower
        self._plans: dict[Any, Program] = {}
        self._shapes: dict[tuple[int, int], Shapes] = {}
        self._compiled: dict[tuple[str, Any], Call] = {}

    def forward(
        self,
        stimulus: Stimulus,
        steps: int | None = None,
        *,
        presentation: Presentation | None = None,
        readout: Readout | None = None,
        record: Record | None = None,
        state: NetworkState | None = None,
        return_state: bool = False,
        remat: bool = False,
    ) -> Output:
        """Unrolls the network.

        Args:
            stimulus: Normalised images [B, C, H, W]; see the class.
            steps: How many steps; those of `presentation` by default, if it is given and says so, else the spec's.
            presentation: What is shown when; the spec's by default.
            readout: How the logits become a decision; the spec's by default.
            record: Activations to keep.
            state: Carries on from here: 3 + 5 steps equal 8.
            return_state: Whether to give the state after the last step.
            remat: Recomputes the inside of each stage in the backward pass: less memory, more time.

        Raises:
            VentralError: for input that cannot be run, in one sentence.
        """
        start = state.step if state else 0
        stop = start + self.count_steps(steps, presentation)
        presentation = presentation or self.spec.presentation
        readout = readout or self.spec.readout
        wanted = self.readout_steps(readout, stop, start)
        recorded = record.resolve(self.spec, start, stop) if record else {}
        pairs = {(a, t) for a, ts in recorded.items() for t in ts}
        of_state = record is not None and record.of == "state"
        outputs = {(self.spec.readout_area, t) for t in wanted} | (set() if of_state else pairs)
        request = Request(
            start,
            stop,
            presentation,
            frozenset(outputs),
            frozenset(pairs if of_state else ()),
            carry=return_state,
        )
        program, shift = self.plan(request)
        results, full = self._run(program, stimulus, state, record, remat)
        logits = torch.stack([full(results["output", self.spec.readout_area, t - shift]) for t in wanted], dim=1)
        recordings = {}
        for name, ts in recorded.items():
            kind = "recorded state" if of_state else "recorded"
            values = torch.stack([full(results[kind, name, t - shift]) for t in ts], dim=1)
            recordings[name] = Recording(name, values, ts, self.times_ms(ts), self.first_steps[name])
        decided = torch.tensor(list(wanted), device=logits.device)[readout.choose(logits)]
        return Output(
            readout.decide(logits),
            logits,
            tuple(wanted),
            self.times_ms(wanted),
            decided,
            recordings,
            self._next_state(program, results, stop, full) if return_state else None,
        )

    def step(self, frame: Tensor, state: NetworkState | None = None) -> tuple[Tensor | None, NetworkState]:
        """One step of streaming: a frame [B, C, H, W] in, (logits [B, K], state) out.

        The logits are None while the readout area is not active yet (networks with windows).
        """
        start = state.step if state else 0
        there = self.spec.area(self.spec.readout_area).exists(start)
        wanted = frozenset({(self.spec.readout_area, start)} if there else ())
        program, shift = self.plan(Request(start, start + 1, Movie(), wanted, carry=True))
        if frame.dim() != 4:
            raise VentralError(f"a frame has shape {list(frame.shape)}; expected [B, C, H, W]")
        results, full = self._run(program, frame[:, None], state)
        logits = full(results["output", self.spec.readout_area, start - shift]) if there else None
        return logits, self._next_state(program, results, start + 1, full)

    @torch.no_grad()
    def decide(
        self,
        stimulus: Stimulus,
        threshold: float = 0.9,
        steps: int | None = None,
        *,
        presentation: Presentation | None = None,
    ) -> Decision:
        """Early exit: answers each image as soon as the network is confident, and computes no further for it.

        Args:
            stimulus: As for `forward`.
            threshold: The largest class probability at which an image is decided, looked at from the first step that
                the image drives the logits.
            steps: The last chance; images still undecided then get the answer of their most confident step.
            presentation: What is shown when; the spec's by default.
        """
        rule = Threshold(threshold=threshold)
        stop = self.count_steps(steps, presentation)
        presentation = presentation or self.spec.presentation
        wanted = self.readout_steps(rule, stop, 0)
        area = self.spec.readout_area
        request = Request(0, stop, presentation, frozenset((area, t) for t in wanted), stream=True)
        program, _ = self.plan(request)
        due: dict[int, list[int]] = {}
        for t in wanted:
            due.setdefault(program.outputs[area, t], []).append(t)

        execution = self.execution(program, stimulus, frozenset(due))
        batch = execution.batch
        rows = torch.arange(batch, device=_first(stimulus).device)
        best: dict[str, Tensor] = {}
        for index, logits in execution:
            logits = logits.expand(len(rows), *logits.shape[1:])
            confidence = rule.confidence(logits)
            if not best:
                classes = logits.shape[1]
                best = {
                    "logits": logits.new_zeros(batch, classes),
                    "confidence": confidence.new_full((batch,), -1.0),
                    "step": torch.zeros(batch, dtype=torch.long, device=logits.device),
                }
            better = confidence > best["confidence"][rows]
            decided = confidence >= threshold
            take = rows[better | decided]
            best["logits"][take] = logits[better | decided]
            best["confidence"][take] = confidence[better | decided]
            best["step"][take] = due[index][0]
            stay = (~decided).nonzero().squeeze(1)
            if len(stay) == 0:
                break
            if len(stay) < len(rows):
                rows = rows[stay]
                execution.keep(stay)
        return Decision(
            best["logits"],
            best["step"],
            best["step"] * self.spec.dt_ms,
            best["confidence"],
            best["confidence"] >= threshold,
        )

    def plan(self, request: Request) -> tuple[Program, int]:
        """The program for a request, and by how much its steps are shifted.

        Far from the start all steps are alike, so requests that differ only in when they start share a program.
        """
        traits = self.traits()
        shift = max(0, request.start - horizon(self.spec, traits, request.presentation))
        moved = Request(
            request.start - shift,
            request.stop - shift,
            request.presentation,
            frozenset((a, t - shift) for a, t in request.outputs),
            frozenset((a, t - shift) for a, t in request.states),
            request.carry,
            request.stream,
            request.naive,
        )
        key = (moved, tuple(traits.items()))
        if key not in self._plans:
            self._plans[key] = plan(self.spec, traits, moved)
        return self._plans[key], shift

    def traits(self) -> dict[Stage, Traits]:
        """What the planner must know of every stage, in the modules' present mode (train or eval)."""
        traits: dict[Stage, Traits] = {}
        for area in self.spec.areas:
            traits |= traits_of_area(self.areas[area.name])
        for i in range(len(self.spec.connections)):
            if str(i) in self.transitions:
                traits["transit", i] = traits_of_transition(self.transitions[str(i)])
        return traits

    def times_ms(self, steps: Iterable[int]) -> tuple[float, ...]:
        """The times of steps."""
        return tuple(t * self.spec.dt_ms for t in steps)

    def shapes(self, height: int, width: int) -> Shapes:
        """Every area's shapes for that input size."""
        if (height, width) not in self._shapes:
            self._shapes[height, width] = self.spec.shapes((height, width))
        return self._shapes[height, width]

    def compile(self, **options: Any) -> None:
        """Compiles the stages with torch.compile (not the unroll, whose graph would grow with the steps).

        Those are the steps of the cells, transitions, and layers with a normalisation: the others are a convolution
        and an activation, where there is nothing to fuse.

        Args:
            options: Of torch.compile.
        """
        for name in (a.name for a in self.spec.areas):
            area: AreaModule = self.areas[name]
            stages = ["update", "emit"] if remembers(area.spec) else []
            for op, layers in (("drive", area.drive_layers), ("output", area.output_layers)):
                stages += [op] if any(isinstance(m, StepNorm) for m in layers.modules()) else []
            for op in stages:
                self._compiled[op, name] = _compiled(getattr(area, op), options)
        for i in range(len(self.spec.connections)):
            if str(i) in self.transitions:
                self._compiled["transit", i] = _compiled(self.transitions[str(i)].transit, options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        new = self.__class__.__new__(self.__class__)
        memo[id(self)] = new
        for key, value in self.__dict__.items():
            new.__dict__[key] = {} if key in ("_compiled", "_plans") else copy.deepcopy(value, memo)
        return new

    def count_steps(self, steps: int | None, presentation: Presentation | None = None) -> int:
        """The number of steps to run; VentralError if it is not a positive whole number.

        Args:
            steps: What was asked for.
            presentation: What was asked for; where `steps` is None it may say how long it is. Else the spec does.
        """
        if steps is None:
            steps = presentation.steps if presentation and presentation.steps else self.spec.steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise VentralError(f"steps is {steps!r}; expected a whole number of at least 1")
        return steps

    def readout_steps(self, readout: Readout, stop: int, start: int = 0) -> range:
        """The steps whose logits a readout needs of steps start..stop-1; VentralError if there are none."""
        area = self.spec.area(self.spec.readout_area)
        if not area.exists(stop - 1):
            raise VentralError(
                f"{stop} steps are too few for '{self.spec.name}': its readout area '{area.name}' is active from"
                f" step {area.start}, so at least {area.start + 1} are needed"
            )
        steps = readout.steps(self.first_steps[area.name], stop)
        return range(max(steps.start, area.start, start), steps.stop)

    def _check_stimulus(self, stimulus: Stimulus, request: Request) -> int:
        presentation, steps = request.presentation, request.stop - request.start
        named = _named(stimulus, presentation)
        channels = self.spec.input_shape[0]
        for key in {s.shows for s in presentation.segments} - {"blank"}:
            if key not in named:
                raise VentralError(f"the presentation shows '{key}', but the stimulus has only {sorted(named)}")
            x = named[key]
            dims = 5 if key == "movie" else 4
            if x.dim() != dims or x.shape[-3] != channels:
                want = f"[B, T, {channels}, H, W]" if key == "movie" else f"[B, {channels}, H, W]"
                raise VentralError(f"the {key} has shape {list(x.shape)}; '{self.spec.name}' expects {want}")
            if key == "movie" and x.shape[1] < steps:
                raise VentralError(f"the movie has {x.shape[1]} frames; {steps} steps need as many")
            if not x.is_floating_point():
                raise VentralError(f"the {key} is {x.dtype}; expected normalised floating-point values")
        shapes = {tuple(x.shape[-2:]) for x in named.values()}
        batches = {x.shape[0] for x in named.values()}
        if len(shapes) > 1 or len(batches) > 1:
            raise VentralError("image and mask need the same batch and size")
        return batches.pop()

    def _run(
        self,
        program: Program,
        stimulus: Stimulus,
        state: NetworkState | None = None,
        record: Record | None = None,
        remat: bool = False,
    ) -> tuple[dict[tuple[str, str, int], Any], Callable[[Tensor], Tensor]]:
        """Runs a program: the results by (kind, area, step of the program), and what brings one to the full batch."""
        keys: dict[int, list[tuple[str, str, int]]] = {}
        for (name, t), v in program.outputs.items():
            keys.setdefault(v, []).append(("output", name, t))
        for (name, t), v in program.states.items():
            keys.setdefault(v, []).append(("state", name, t))
        for (name, lag), v in program.carried_outputs.items():
            keys.setdefault(v, []).append(("carried", name, lag))
        for name, v in program.carried_states.items():
            keys.setdefault(v, []).append(("carried_state", name, 0))
        execution = self.execution(program, stimulus, frozenset(keys), state, remat)
        batch = execution.batch

        def full(x: Tensor) -> Tensor:
            return x.expand(batch, *x.shape[1:])

        results: dict[tuple[str, str, int], Any] = {}
        readout = self.spec.readout_area
        for index, value in execution:
            reduced = None
            for key in keys[index]:
                kind, name, t = key
                if kind == "output" and (record is None or record.of == "state" or name not in record.areas):
                    results[key] = value
                elif kind == "output":
                    assert record is not None
                    if reduced is None:
                        reduced = reduce_map(value, record.reduce)
                    results["recorded", name, t] = reduced
                    if name == readout:
                        results[key] = value
                elif kind == "state":
                    assert record is not None
                    parts = torch.cat([full(x) for x in value[1]], 1)
                    results["recorded state", name, t] = reduce_map(parts, record.reduce)
                else:
                    results[key] = value[1] if kind == "carried_state" else value
        return results, full

    def execution(
        self,
        program: Program,
        stimulus: Stimulus,
        wanted: frozenset[int],
        state: NetworkState | None = None,
        remat: bool = False,
    ) -> Execution:
        """A program of this network on a stimulus, ready to run; `wanted` are the values it gives out."""
        batch = self._check_stimulus(stimulus, program.request)
        like = _first(stimulus)
        run = Run(self.shapes(*like.shape[-2:]), like)
        named = _named(stimulus, program.request.presentation)

        def stage(value: Value) -> Call:
            call = self._compiled.get((value.op, value.owner))
            if call is None:
                module = self.transitions[str(value.owner)] if value.op == "transit" else self.areas[str(value.owner)]
                call = getattr(module, value.op)
            if value.op in ("drive", "feedback"):
                return lambda step, *args: call(step, run, *args)
            return call

        def leaf(value: Value) -> Any:
            if isinstance(value.owner, Frame):
                return channels_last(self._frame(value.owner, named, like))
            name = str(value.owner)
            if value.op == "zeros":
                return channels_last(like.new_zeros(1, *run.shapes.output[name]))
            if value.op == "init":
                cell = self.areas[name].cell
                skip = cell.takes_no_state and not program.request.naive
                return None, None if skip else cell.init_state(1, run.shapes.drive[name], like)
            assert state is not None
            if value.op == "carried":
                return state.outputs[name][value.step - 1]
            return None, state.cells[name]

        return Execution(program, stage, leaf, batch, wanted, remat, self.fast_convolutions)

    def _frame(self, frame: Frame, named: Mapping[str, Tensor], like: Tensor) -> Tensor:
        if frame.shows == "movie":
            return named["movie"][:, frame.index]
        if frame.shows != "blank":
            return named[frame.shows]
        value = like.new_full((1, *like.shape[-3:]), frame.value)
        if frame.space == "pixels":
            shape = (1, -1, 1, 1)
            value = (value - like.new_tensor(self.spec.mean).view(shape)) / like.new_tensor(self.spec.std).view(shape)
        return value

    def _next_state(self, program: Program, results: dict[Any, Any], stop: int, full: Any) -> NetworkState:
        outputs = {}
        for source in (IMAGE, *(a.name for a in self.spec.areas)):
            past = [results.get(("carried", source, lag)) for lag in range(1, self.spec.history(source) + 1)]
            if past:
                outputs[source] = tuple(None if x is None else full(x) for x in past)
        cells = {a: tuple(map(full, results["carried_state", a, 0])) for a in program.carried_states}
        return NetworkState(stop, outputs, cells)


def share_weights(network: Network, spec: NetworkSpec) -> None:
    """Gives connections that share their weights the same parameters; see `Connection.shared`."""
    owners: dict[str, tuple[Connection, list[nn.Conv2d | nn.ConvTranspose2d]]] = {}
    for i, c in enumerate(spec.connections):
        if not c.shared:
            continue
        convs = [m for m in network.transitions[str(i)].modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
        first, owned = owners.setdefault(c.shared, (c, convs))
        ours, theirs = ([tuple(m.weight.shape) for m in ms] for ms in (convs, owned))
        if ours != theirs or any((a.bias is None) != (b.bias is None) for a, b in zip(convs, owned, strict=True)):
            raise VentralError(f"connections {first} and {c} cannot share '{c.shared}': their convolutions differ")
        for mine, shared in zip(convs, owned, strict=True):
            mine.weight, mine.bias = shared.weight, shared.bias


def _compiled(call: Call, options: dict[str, Any]) -> Call:
    def stage(*args: Any) -> Any:
        return call(*args)

    # a code object of its own: torch.compile limits the recompilations of each, and all areas share their methods'
    stage.__code__ = stage.__code__.replace()
    return torch.compile(stage, **options)  # type: ignore[no-any-return]


def _first(stimulus: Stimulus) -> Tensor:
    return stimulus if isinstance(stimulus, Tensor) else next(iter(stimulus.values()))


def _named(stimulus: Stimulus, presentation: Presentation) -> Mapping[str, Tensor]:
    if isinstance(stimulus, Tensor):
        return {"movie" if presentation.is_movie else "image": stimulus}
    if not stimulus:
        raise VentralError("the stimulus is empty; expected images or {'image': images, ...}")
    return stimulus
