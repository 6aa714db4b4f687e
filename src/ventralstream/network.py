"""The network: the module that users hold."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from ventralstream import hooks, unroll
from ventralstream import presentation as presentations
from ventralstream import readout as readouts
from ventralstream.area import AreaModule, Transition
from ventralstream.arguments import misfit, nearest
from ventralstream.budget import check_steps
from ventralstream.errors import VentralError
from ventralstream.execute import Call, Execution
from ventralstream.layers import shortcuts
from ventralstream.layers.init import Allocating, initialise
from ventralstream.layers.norm import StepNorm
from ventralstream.output import Decision, NetworkState, Output
from ventralstream.presentation import Movie, Presentation
from ventralstream.program import Program, Request, Stage, Traits, Value
from ventralstream.readout import Readout, Threshold
from ventralstream.record import Record
from ventralstream.spec import Connection, NetworkSpec, Shapes
from ventralstream.stimulus import Stimulus
from ventralstream.summary import Summary
from ventralstream.timing import first_steps, remembers
from ventralstream.traits import traits_of_area, traits_of_transition
from ventralstream.values import Count, fit

MOVIE = Movie()


class _Named(nn.Module):
    """Modules by name; unlike nn.ModuleDict it takes every name ("keys", "type", ...)."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __contains__(self, name: str) -> bool:
        return name in self._modules


class Network(Summary, nn.Module):
    """A network built from its spec.

    Images are given normalised (`spec.mean`, `spec.std`), [B, C, H, W]; any size works. A presentation with a mask
    takes `{"image": images, "mask": masks}`, a movie [B, T, C, H, W]. Tensors of any floating-point type and NumPy
    arrays are taken in the network's own type.

    Attributes:
        spec: Its spec.
        first_steps: Per area, the first step at which the image drives it.
        fast_convolutions: On a CPU, whether each convolution takes the form that is fastest, and a kernel's gradient is
            made once for many steps (`ventralstream.layers.cpu.convolution`): equal to the precision of the numbers'
            type, but not to the last bit. On by default.
    """

    fast_convolutions: bool = True

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        shapes = spec.shapes()
        self.first_steps = first_steps(spec)
        with Allocating():
            self._build(shapes)
        self._plans = unroll.Plans()
        self._shapes: unroll.Kept[tuple[int, int], Shapes] = unroll.Kept()
        self._compiled: dict[tuple[str, Any], Call] = {}

    def _build(self, shapes: Shapes) -> None:
        spec = self.spec
        self.areas = _Named({a.name: AreaModule(spec, a.name, shapes) for a in spec.areas})
        self.transitions = _Named(
            {str(i): Transition(c, shapes.output[c.source]) for i, c in enumerate(spec.connections) if c.layers}
        )
        share_weights(self, spec)
        initialise(self, spec.init)
        for area in spec.areas:
            if area.cell is not None:
                self.areas[area.name].cell.start()

    def forward(
        self,
        stimulus: Stimulus,
        steps: int | None = None,
        *,
        presentation: Presentation | None = None,
        readout: Readout | Literal["own"] | None = "own",
        record: Record | Sequence[Record] | None = None,
        state: NetworkState | None = None,
        return_state: bool = False,
        remat: bool = False,
    ) -> Output:
        """Unrolls the network.

        Args:
            stimulus: Normalised images [B, C, H, W]; see the class.
            steps: How many steps; those of `presentation` by default, if it is given and says so, else the spec's.
            presentation: What is shown when; the spec's by default.
            readout: How the logits become a decision; the spec's "own" by default. With None there are no logits:
                only what is recorded or carried on is computed.
            record: Activations to keep; several records are several ways to keep them, in one pass.
            state: Carries on from here: 3 + 5 steps equal 8.
            return_state: Whether to give the state after the last step.
            remat: Computes steps again in the backward pass: memory grows with the root of their number, and there is
                one forward pass more.

        Raises:
            VentralError: for input that cannot be run, in one sentence.
        """
        start = _start(state)
        stop = start + self.count_steps(steps, presentation)
        if readout == "own":
            readout = self.spec.readout
        if not isinstance(readout, (Readout, types.NoneType)):
            example = nearest(readout, readouts.examples(), "last")
            raise misfit("readout", readout, f"a Readout, such as {example}, 'own' or None")
        wanted = tuple(self.readout_steps(readout, stop, start)) if readout else ()
        records = _records(record)
        recorded = [(r, r.resolve(self.spec, start, stop)) for r in records]
        if not (wanted or recorded or return_state):
            raise VentralError("nothing is asked for: give a readout, a record or return_state=True")
        differentiates = any(r.is_on_path for r in records) and self._differentiates(stimulus)
        pairs = [(r, (a, t)) for r, areas in recorded for a, ts in areas.items() for t in ts]
        request = Request(
            start,
            stop,
            presentation or self.spec.presentation,
            frozenset([pair for r, pair in pairs if r.of == "output"] + [(self.spec.readout_area, t) for t in wanted]),
            frozenset(pair for r, pair in pairs if r.of == "state"),
            frozenset(pair for r, pair in pairs if r.is_on_path and differentiates),
            carry=return_state,
            stream=remat and torch.is_grad_enabled(),  # what is computed again is a stretch of time
        )
        results = unroll.run(self, self.plan(request), stimulus, wanted, recorded, state, remat)
        recordings = tuple({a: results.recording(self, r, a, ts) for a, ts in areas.items()} for r, areas in recorded)
        after = results.state(self.spec) if return_state else None
        if readout is None:
            none = cast(Tensor, None)  # those who ask for no readout know
            return Output(none, none, (), (), none, recordings, after)
        logits = results.stacked(self.spec.readout_area, wanted)
        decided = torch.tensor(wanted, device=logits.device)[readout.choose(logits)]
        return Output(readout.decide(logits), logits, wanted, self.times_ms(wanted), decided, recordings, after)

    if TYPE_CHECKING:
        __call__ = forward

    def step(self, frame: Tensor, state: NetworkState | None = None) -> tuple[Tensor | None, NetworkState]:
        """One step of streaming: a frame [B, C, H, W] in, (logits [B, K], state) out.

        The logits are None while the readout area is not active yet (networks with windows).
        """
        start = _start(state)
        channels = self.spec.input_shape[0]
        if getattr(frame, "ndim", None) != 4 or frame.shape[1] != channels:
            raise misfit("the frame", frame, f"normalised images [B, {channels}, H, W]")
        area = self.spec.readout_area
        wanted = (start,) if self.spec.area(area).exists(start) else ()
        request = Request(start, start + 1, MOVIE, frozenset((area, t) for t in wanted), carry=True)
        results = unroll.run(self, self.plan(request), frame[:, None], wanted, state=state)
        return results.at(area, start) if wanted else None, results.state(self.spec)

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
        program = self.plan(request)
        due: dict[int, list[int]] = {}
        for t in wanted:
            due.setdefault(program.outputs[area, t], []).append(t)

        execution = self.execution(program, stimulus, frozenset(due))
        batch = execution.batch
        best: dict[str, Tensor] = {}
        for index, logits in execution:
            if not best:
                rows = torch.arange(batch, device=logits.device)
                best = {
                    "logits": logits.new_zeros(batch, logits.shape[1]),
                    "confidence": logits.new_full((batch,), -1.0),
                    "step": torch.zeros_like(rows),
                }
            logits = logits.expand(len(rows), *logits.shape[1:])
            confidence = rule.confidence(logits)
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

    def calls(
        self, steps: int | None = None, *, presentation: Presentation | None = None, readout: Readout | None = None
    ) -> dict[str, tuple[int, ...]]:
        """The steps of the successive calls that hooks on modules see, by the modules' names; see docs/how-to/hooks.md.

        Args:
            steps, presentation, readout: As for the network's call.
        """
        stop = self.count_steps(steps, presentation)
        wanted = frozenset((self.spec.readout_area, t) for t in self.readout_steps(readout or self.spec.readout, stop))
        with shortcuts.plainly():
            return hooks.calls(self.plan(Request(0, stop, presentation or self.spec.presentation, wanted)))

    def plan(self, request: Request) -> Program:
        """The program for a request."""
        if shortcuts.watched(self) or shortcuts.traced():
            request = replace(request, watched=True)
        return self._plans.program(self.spec, self.traits(), request)

    def execution(self, program: Program, stimulus: Stimulus, wanted: frozenset[int]) -> Execution:
        """A program of this network on a stimulus, ready to run; `wanted` are the values it gives out."""
        return unroll.execution(self, program, stimulus, wanted)

    def stage(self, value: Value, compiled: bool = True) -> Call:
        """What computes a value of a program, called with the step and the arguments; compiled if it was and may be."""
        call = self._compiled.get((value.op, value.owner)) if compiled else None
        if call is None:
            module = self.transitions[str(value.owner)] if value.op == "transit" else self.areas[str(value.owner)]
            call = module if value.op in ("output", "transit") else getattr(module, value.op)
        return cast(Call, call)

    def traits(self) -> dict[Stage, Traits]:
        """What the planner must know of every stage, in the modules' present mode (train or eval)."""
        traits: dict[Stage, Traits] = {}
        for area in self.spec.areas:
            traits |= traits_of_area(self.areas[area.name])
        for i in range(len(self.spec.connections)):
            if str(i) in self.transitions:
                traits["transit", i] = traits_of_transition(self.transitions[str(i)])
        return traits

    def _summary(self) -> tuple[str, list[tuple[str, ...]]]:
        spec, shapes = self.spec, self.spec.shapes()
        rows: list[tuple[str, ...]] = []
        for area in spec.areas:
            cell = f"{area.cell.tag} cell" if area.cell else "no cell"
            back = {"feedback": " (feedback)", "lateral": " (lateral)", "skip": " (skip)"}
            sources = ", ".join(f"{c.source}{back.get(c.kind, '')}" for _, c in spec.inputs(area.name))
            rows.append((area.name, str(list(shapes.output[area.name])), cell, f"from {sources}"))
        parameters = sum(p.numel() for p in self.parameters())
        extra = self.extra_repr()
        title = (
            f"{type(self).__name__} {spec.name!r}: {spec.steps} steps of {spec.dt_ms:g} ms, images"
            f" {list(spec.input_shape)}, {parameters:,} parameters{f', {extra}' if extra else ''}"
        )
        return title, rows

    def _differentiates(self, stimulus: Stimulus) -> bool:
        given = stimulus.values() if isinstance(stimulus, Mapping) else (stimulus,)
        return torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in (*given, *self.parameters()))

    def times_ms(self, steps: Iterable[int]) -> tuple[float, ...]:
        """The times of steps."""
        return unroll.times_ms(self.spec, steps)

    def shapes(self, height: int, width: int) -> Shapes:
        """Every area's shapes for that input size."""
        return self._shapes.get((height, width), lambda: self.spec.shapes((height, width)))

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
                self._compiled[op, name] = _compiled(area if op == "output" else getattr(area, op), options)
        for i in range(len(self.spec.connections)):
            if str(i) in self.transitions:
                self._compiled["transit", i] = _compiled(self.transitions[str(i)], options)

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all but the compiled stages, which belong to this process."""
        return {**super().__getstate__(), "_compiled": {}}  # type: ignore[no-untyped-call]

    def count_steps(self, steps: int | None, presentation: Presentation | None = None) -> int:
        """The number of steps to run; VentralError if it is not a positive whole number.

        Args:
            steps: What was asked for.
            presentation: What was asked for; where `steps` is None it may say how long it is. Else the spec does.
        """
        if not isinstance(presentation, (Presentation, types.NoneType)):
            example = nearest(presentation, presentations.EXAMPLES, "flash")
            raise misfit("presentation", presentation, f"a Presentation, such as {example}")
        if steps is None:
            steps = presentation.steps if presentation and presentation.steps else self.spec.steps
        steps = int(fit(steps, Count, "steps"))
        check_steps(steps, len(self.spec.areas))
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


def _start(state: NetworkState | None) -> int:
    if not isinstance(state, (NetworkState, types.NoneType)):
        raise misfit("state", state, "a NetworkState, the state of an earlier output")
    return state.step if state else 0


def _records(record: Record | Sequence[Record] | None) -> tuple[Record, ...]:
    records = record if isinstance(record, (list, tuple)) else () if record is None else (record,)
    for one in records:
        if not isinstance(one, Record):
            raise misfit("record", record, "a Record, such as vs.Record(['V1', 'IT']), or several of them")
    return tuple(records)


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
