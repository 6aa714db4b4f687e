"""The contract of a cell, as tests: what the library's own cells go through, for a cell of one's own."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ventralstream.area import AreaModule
from ventralstream.cells.base import STAGES, Cell
from ventralstream.checkpoints.disk import load_network, save_network
from ventralstream.errors import VentralError
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear
from ventralstream.network import Network, NetworkState, Output
from ventralstream.presentation import Constant, Flash, Movie, Presentation
from ventralstream.readout import PerStep
from ventralstream.record import Record
from ventralstream.spec import Area, CellSpec, Connection, NetworkSpec, spec_from_json
from ventralstream.testing.chance import restored_chance, same_draws, seed_all
from ventralstream.testing.naive import frames_of, unroll
from ventralstream.traits import why_stage_is_not_pure

BATCH = 3
ALL = Record(["before", "cell", "after", "decoder"])
WHOLE = {"record": ALL, "readout": PerStep(0), "return_state": True}


def check_cell(
    spec: CellSpec,
    *,
    channels: int = 8,
    size: tuple[int, int] = (8, 8),
    steps: int = 8,
    dtype: torch.dtype = torch.float64,
    compile: bool = True,
) -> None:
    """Checks that a cell keeps the contract of `ventralstream.cells.Cell`, in train and in evaluation mode.

    The cell stands in two small networks, a chain and a loop with feedback. In each, the planned unroll must give the
    outputs, states, gradients and running statistics of the naive one, draw for draw where the cell draws random
    numbers; 3 + 5 steps must equal 8, as must streaming step by step; and so must copies, compiled, saved and loaded
    networks, other sizes, other images in the batch. What the cell declares of itself must be true.

    Args:
        spec: The cell's options.
        channels: Channels of what enters the cell.
        size: Height and width of the image.
        steps: Steps to run, 4 at least.
        dtype: In which precision the unrolls are compared.
        compile: Whether to try `Network.compile` (without generating code, so no compiler is needed).

    Raises:
        VentralError: with one sentence that says what the cell does wrong.
    """
    name = spec.tag or type(spec).__name__
    if steps < 4:
        raise VentralError(f"steps is {steps}; a cell is checked with 4 at least")
    with restored_chance():
        try:
            _check_spec(spec)
            for loop in (False, True):
                with _doing("building a network with it"):
                    net = _network(spec, channels, size, loop)
                _check(_Case(net, steps, size, dtype), compile)
        except _Broken as broken:
            raise VentralError(f"cell '{name}': {broken}") from broken.__cause__


class _Broken(Exception):
    """What a cell does wrong."""


@contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except _Broken:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise _Broken(f"{what} raises {type(error).__name__}: {lines[0]}") from error


@dataclass
class _Case:
    """A network with the cell in it, and what it is shown."""

    net: Network
    steps: int
    size: tuple[int, int]
    dtype: torch.dtype

    def __post_init__(self) -> None:
        last = self.cell.last_step
        self.steps = self.steps if last is None else min(self.steps, last + 1)
        self.where = "a loop" if any(c.kind == "feedback" for c in self.net.spec.connections) else "a chain"

    @property
    def area(self) -> AreaModule:
        area: AreaModule = self.net.areas["cell"]
        return area

    @property
    def cell(self) -> Cell:
        assert self.area.cell is not None
        return self.area.cell

    def images(self, *extra: int, size: tuple[int, int] | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(BATCH, *extra, 2, *(size or self.size), generator=generator, dtype=self.dtype)

    def mode(self) -> str:
        return "training" if self.net.training else "evaluation"


def _network(cell: CellSpec, channels: int, size: tuple[int, int], loop: bool) -> Network:
    areas = (
        Area("before", (Conv(3), Act("tanh"))),
        Area("cell", (Conv(channels, 3),), cell, (Act("tanh"),)),
        Area("after", (Conv(5), Act("tanh"))),
        Area("decoder", (GlobalPool(), Linear(2))),
    )
    connections = [
        Connection("image", "before", delay=0),
        Connection("before", "cell"),
        Connection("cell", "after"),
        Connection("after", "decoder", delay=0),
    ]
    if loop:
        connections.append(Connection("after", "cell", "feedback"))
    return Network(
        NetworkSpec(
            "check",
            areas,
            tuple(connections),
            "decoder",
            (2, *size),
            before_start="zeros" if loop else "silent",
            mean=(0.4, 0.5),
            std=(0.3, 0.2),
        )
    )


def _check_spec(spec: CellSpec) -> None:
    if not spec.tag:
        raise _Broken("its options have no name; decorate their class with @register_cell")
    with _doing("writing its options as JSON and reading them"):
        from ventralstream.jsonable import from_json

        if from_json(spec.to_json()) != spec:
            raise _Broken("its options are other ones after they were written as JSON and read again")


def _check(case: _Case, compile: bool) -> None:
    _check_shapes(case)
    _check_saved(case)
    net = case.net
    _vary(net, case.dtype)
    for training in (False, True):
        net.train(training)
        _check_declaration(case)
        for presentation in (Constant(), Flash(on=2), Movie()):
            _check_planned(case, presentation)
        _check_carried(case)
        _check_streamed(case)
        _check_emit(case)
    net.eval()
    _check_images_apart(case)
    _check_copy(case)
    _check_other_size(case)
    if compile:
        _check_compiled(case)


def _vary(net: Network, dtype: torch.dtype) -> None:
    """The network in that precision, every parameter away from its special values."""
    wide = torch.complex128 if dtype == torch.float64 else torch.complex64
    net._apply(lambda t: t.to(dtype if t.is_floating_point() else wide if t.is_complex() else t.dtype))  # type: ignore[no-untyped-call]
    seed_all(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))


def _check_shapes(case: _Case) -> None:
    cell, spec = case.cell, case.net.spec.area("cell").cell
    assert spec is not None
    if cell.feedback_entry != spec.feedback_entry:
        raise _Broken(
            f"the cell's feedback_entry is '{cell.feedback_entry}' and its options' '{spec.feedback_entry}';"
            " both have to say where feedback enters"
        )
    shape = case.area.shapes.drive["cell"]
    with _doing("one step"), torch.no_grad():
        state = cell.init_state(2, shape, torch.empty(0))
        area = copy.deepcopy(case.area).eval()
        from ventralstream.traits import TRIALS

        call, (drive, feedback, _) = TRIALS["update"](area, 0)
        (output, after), _ = call(drive, feedback, state)
    wanted = [(2, *part) for part in cell.state_shapes(shape)] if _has_shapes(cell) else [x.shape for x in state]
    for what, parts in (("init_state", state), ("update", after)):
        shapes = [tuple(x.shape) for x in parts]
        if shapes != [tuple(w) for w in wanted]:
            raise _Broken(f"{what} gives states of {shapes}, but its state_shapes say {wanted}")
    if tuple(output.shape[1:]) != tuple(spec.output_shape(shape)):
        raise _Broken(
            f"update gives an output of {tuple(output.shape[1:])}, but its options' output_shape says"
            f" {tuple(spec.output_shape(shape))}"
        )


def _has_shapes(cell: Cell) -> bool:
    return type(cell).state_shapes is not Cell.state_shapes


def _check_declaration(case: _Case) -> None:
    traits = case.net.traits()
    for stage in STAGES:
        if not traits[stage, "cell"].pure or (stage == "feedback" and not case.area.feedbacks):
            continue
        with _doing(f"{stage} in {case.mode()} mode"):
            distinct = case.cell.distinct_steps
            why = why_stage_is_not_pure(case.area, stage, sorted({0, 1, distinct - 1}))
        if why:
            raise _Broken(f"{stage} is declared pure, but in {case.mode()} mode it {why}")


def _check_planned(case: _Case, presentation: Presentation) -> None:
    net, steps = case.net, case.steps
    x = case.images(steps) if presentation.is_movie else case.images()
    own = copy.deepcopy(net)
    where = f"in {case.where} in {case.mode()} mode"
    with _doing(f"the naive unroll {where}"), same_draws(own.areas["cell"].cell):
        a = x.clone().requires_grad_()
        outputs, states = unroll(own, frames_of(own, presentation, a, steps), 0)
        naive = {(area, t): outputs[area, t] for area in ALL.areas for t in range(steps)}
        naive_state = states["cell", steps - 1]
        expected = _gradients(own, a, [*naive.values(), *naive_state])
    for remat in (False, True):
        planned = copy.deepcopy(net)
        with _doing(f"the planned unroll {where}"), same_draws(planned.areas["cell"].cell):
            b = x.clone().requires_grad_()
            out = planned(b, steps, presentation=presentation, remat=remat, **WHOLE)
            found = {(area, t): out[area].values[:, t] for area in ALL.areas for t in range(steps)}
            gradients = _gradients(planned, b, [*found.values(), *out.state.cells["cell"]])
        for (area, t), value in naive.items():
            _compare(found[area, t], value, f"the planned unroll {where} differs from the naive one at step {t}")
            if not torch.isfinite(value).all():
                raise _Broken(f"its outputs {where} are not finite at step {t}")
        for part, value in zip(out.state.cells["cell"], naive_state, strict=True):
            _compare(part, value, f"the planned unroll {where} ends in another state than the naive one")
        for name, gradient in expected.items():
            _compare(gradients[name], gradient, f"the planned unroll {where} gives another gradient of {name}")
        buffers = dict(planned.named_buffers())
        for name, buffer in own.named_buffers():
            _compare(buffers[name], buffer, f"the planned unroll {where} leaves another {name} than the naive one")


def _gradients(net: Network, x: Tensor, values: list[Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    loss = torch.zeros((), dtype=x.dtype)
    for value in values:
        real = torch.view_as_real(value) if value.is_complex() else value
        weight = torch.randn(real.shape, generator=generator, dtype=torch.float64).to(real.dtype)
        loss = loss + (real * weight).sum()
    over = {"the image": x, **{n: p for n, p in net.named_parameters() if p.requires_grad}}
    found = torch.autograd.grad(loss, list(over.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(over.items(), found, strict=True)}


def _compare(found: Tensor, expected: Tensor, what: str) -> None:
    try:
        torch.testing.assert_close(found, expected, equal_nan=True)
    except AssertionError:
        raise _Broken(what) from None


def _unrolled(net: Network, x: Tensor, steps: int, state: NetworkState | None = None) -> Output:
    with torch.no_grad():
        out: Output = net(x, steps, presentation=Movie(), state=state, **WHOLE)
    return out


def _check_carried(case: _Case) -> None:
    x, first = case.images(case.steps), 3
    whole_net, parts_net = copy.deepcopy(case.net), copy.deepcopy(case.net)
    where = f"in {case.where} in {case.mode()} mode"
    with _doing(f"carrying a state {where}"):
        with same_draws(whole_net.areas["cell"].cell):
            whole = _unrolled(whole_net, x, case.steps)
        with same_draws(parts_net.areas["cell"].cell):
            begun = _unrolled(parts_net, x[:, :first], first)
            given = begun.state.map(torch.clone) if begun.state else None
            rest = _unrolled(parts_net, x[:, first:], case.steps - first, begun.state)
    parts = torch.cat([begun.logits, rest.logits], 1)
    _compare(parts, whole.logits, f"{first} + {case.steps - first} steps {where} differ from {case.steps}")
    assert begun.state is not None and given is not None
    for a, b in zip(begun.state.cells["cell"], given.cells["cell"], strict=True):
        _compare(a, b, f"carrying on {where} overwrites the state that was given")


def _check_streamed(case: _Case) -> None:
    x = case.images(case.steps)
    whole_net, net = copy.deepcopy(case.net), copy.deepcopy(case.net)
    where = f"in {case.where} in {case.mode()} mode"
    with _doing(f"streaming {where}"), torch.no_grad():
        with same_draws(whole_net.areas["cell"].cell):
            whole = _unrolled(whole_net, x, case.steps)
        state, logits = None, []
        with same_draws(net.areas["cell"].cell):
            for t in range(case.steps):
                now, state = net.step(x[:, t], state)
                assert now is not None
                logits.append(now)
    _compare(torch.stack(logits, 1), whole.logits, f"streaming {where} differs from a movie")


def _check_emit(case: _Case) -> None:
    x = case.images(case.steps)
    whole_net, net = copy.deepcopy(case.net), copy.deepcopy(case.net)
    last = case.steps - 1
    where = f"in {case.where} in {case.mode()} mode"
    with _doing(f"emit {where}"), torch.no_grad():
        with same_draws(whole_net.areas["cell"].cell):
            whole = _unrolled(whole_net, x, case.steps)
        with same_draws(net.areas["cell"].cell):
            out = net(x, case.steps, presentation=Movie(), record=Record("cell", steps=last), readout=PerStep(0))
    _compare(out["cell"].values[:, 0], whole["cell"].values[:, last], f"emit {where} differs from what update gives")


def _check_images_apart(case: _Case) -> None:
    """In evaluation mode an image's numbers must not depend on what else is in the batch."""
    x, chance = case.images(case.steps), not all(t.pure for t in case.net.traits().values())
    if chance:
        return
    with _doing("a batch of one"):
        whole = _unrolled(case.net, x, case.steps)
        for i in range(BATCH):
            one = _unrolled(case.net, x[i : i + 1], case.steps)
            _compare(one.logits[0], whole.logits[i], "an image alone gives other numbers than in a batch")


def _check_copy(case: _Case) -> None:
    x = case.images(case.steps)
    with _doing("a copy"):
        with same_draws(case.cell):
            before = _unrolled(case.net, x, case.steps)
        twin = copy.deepcopy(case.net)
        with same_draws(twin.areas["cell"].cell):
            _unrolled(twin, 2 * x, case.steps)  # a copy has nothing in common with it, and other images leave no trace
        with same_draws(twin.areas["cell"].cell):
            copied = _unrolled(twin, x, case.steps)
        with same_draws(case.cell):
            again = _unrolled(case.net, x, case.steps)
    _compare(copied.logits, before.logits, "a deep copy gives other numbers, or keeps something of other images")
    _compare(again.logits, before.logits, "a second unroll gives other numbers: something is kept between calls")


def _check_saved(case: _Case) -> None:
    net = case.net.eval()
    x = case.images(case.steps).float()
    with _doing("saving and loading"), tempfile.TemporaryDirectory() as folder:
        if spec_from_json(net.spec.to_text()) != net.spec:
            raise _Broken("its options are other ones after they were written as JSON and read again")
        save_network(net, folder)
        loaded = load_network(folder)
        with same_draws(net.areas["cell"].cell):
            expected = _unrolled(net, x, case.steps)
        with same_draws(loaded.areas["cell"].cell):
            found = _unrolled(loaded, x, case.steps)
    _compare(
        found.logits,
        expected.logits,
        "saved and loaded it gives other numbers: what it keeps must be parameters, buffers or options",
    )


def _check_other_size(case: _Case) -> None:
    height, width = case.size
    size = (height + 4, 2 * width)
    x = case.images(case.steps, size=size)
    own, net = copy.deepcopy(case.net), copy.deepcopy(case.net)
    try:
        with torch.no_grad(), same_draws(net.areas["cell"].cell):
            found = net(x, case.steps, presentation=Movie(), **WHOLE)
    except VentralError:  # the cell says that it runs at one size only
        return
    except Exception as error:
        raise _Broken(
            f"images of {size} raise {type(error).__name__}; a cell that runs at one size only says so by VentralError"
        ) from error
    with torch.no_grad(), same_draws(own.areas["cell"].cell):
        outputs, _ = unroll(own, frames_of(own, Movie(), x, case.steps))
    for t in range(case.steps):
        _compare(found.logits[:, t], outputs["decoder", t], f"with images of {size} the planned unroll differs")


def _check_compiled(case: _Case) -> None:
    if not all(t.pure for t in case.net.traits().values()):
        return  # what chance gives in compiled code is another sequence
    x = case.images(case.steps).requires_grad_()
    compiled = copy.deepcopy(case.net)
    with _doing("compiling"):
        compiled.compile(backend="aot_eager")
        outs: list[Any] = [net(x, case.steps, presentation=Movie(), **WHOLE) for net in (case.net, compiled)]
        gradients = [_gradients(net, x, [out.logits]) for net, out in zip((case.net, compiled), outs, strict=True)]
    _compare(outs[1].logits, outs[0].logits, "compiled it gives other numbers")
    for name, gradient in gradients[0].items():
        _compare(gradients[1][name], gradient, f"compiled it gives another gradient of {name}")


_Call = Callable[..., Any]
