"""The contract of a cell, as tests: what the library's own cells go through, for a cell of one's own."""

from __future__ import annotations

import copy
import tempfile

import torch

from ventralstream.cells.base import STAGES, Cell
from ventralstream.checkpoints.disk import load_network, save_network
from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json
from ventralstream.presentation import Constant, Flash, Movie, Presentation
from ventralstream.readout import PerStep
from ventralstream.record import Record
from ventralstream.spec import CellSpec
from ventralstream.testing.case import (
    AREAS,
    BATCH,
    Broken,
    Case,
    compare,
    doing,
    gradients,
    network,
    state_of,
    unrolled,
    vary,
)
from ventralstream.testing.chance import restored_chance, same_draws, seed_all
from ventralstream.testing.naive import frames_of, unroll
from ventralstream.traits import TRIALS, why_stage_is_not_pure


def check_cell(
    spec: CellSpec,
    *,
    channels: int = 8,
    size: tuple[int, int] = (8, 8),
    steps: int = 8,
    dtype: torch.dtype = torch.float64,
    compile: bool = True,
) -> None:
    """Checks that a cell keeps the contract of `ventralstream.cells.Cell`, in training and in evaluation mode.

    The cell stands in two small networks, a chain and a loop with feedback. In each, the planned unroll must give the
    outputs, states, gradients and running statistics of evaluating every area at every step, draw for draw where the
    cell draws random numbers. 3 + 5 steps must equal 8, and so must single steps of streaming; a copy, a saved and
    loaded, and a compiled network give the same numbers; other images of the batch and other sizes change nothing; and
    what the cell declares of itself is true.

    Args:
        spec: The cell's options.
        channels: Channels of what enters the cell.
        size: Height and width of the images.
        steps: Steps to run, 5 or more.
        dtype: The precision in which unrolls are compared.
        compile: Whether to try `Network.compile` (without generating code, so no compiler is needed).

    Raises:
        VentralError: with one sentence that says what the cell does wrong.
    """
    if steps < 5:
        raise VentralError(f"steps is {steps}; a cell is checked with 5 or more")
    try:
        with restored_chance():
            _check_options(spec)
            for loop in (False, True):
                seed_all(0)
                with doing("building a network with it"):
                    net = network(spec, channels, size, loop)
                last = net.areas["cell"].cell.last_step
                _check(Case(net, steps if last is None else min(steps, last + 1), size, dtype), compile)
    except Broken as broken:
        raise VentralError(f"cell '{spec.tag or type(spec).__name__}': {broken}") from broken.__cause__


def _check(case: Case, compile: bool) -> None:
    net = case.net
    _check_shapes(case)
    vary(net, case.dtype)
    for training in (False, True):
        net.train(training)
        _check_declared(case)
    for training in (False, True):
        net.train(training)
        _check_planned(case, Flash(on=2) if case.is_loop else Movie(), remat=training)
        _check_carried(case)
        _check_streamed(case)
        _check_emit(case)
    net.eval()
    _check_planned(case, Constant(), remat=True)
    _check_kept_apart(case)
    _check_other_size(case)
    if compile and case.is_loop and case.is_pure:  # in compiled code chance takes another course
        _check_compiled(case)
    _check_saved(case)


def _check_options(spec: CellSpec) -> None:
    if not spec.tag:
        raise Broken("its options have no name; decorate their class with @register_cell")
    with doing("writing its options as JSON and reading them"):
        if from_json(spec.to_json()) != spec:
            raise Broken("its options are others after they were written as JSON and read")


def _check_shapes(case: Case) -> None:
    cell, spec, shape = case.cell, case.area.spec.cell, case.area.shapes.drive["cell"]
    assert spec is not None
    if cell.feedback_entry != spec.feedback_entry:
        raise Broken(
            f"feedback_entry is '{cell.feedback_entry}' in the cell and '{spec.feedback_entry}' in its options;"
            " both have to say where feedback enters"
        )
    with doing("one step"), torch.no_grad():
        call, (drive, feedback, _) = TRIALS["update"](copy.deepcopy(case.area).eval(), 0)
        state = cell.init_state(2, shape, torch.empty(0))
        (output, after), _ = call(drive, feedback, state)
        declared = type(cell).state_shapes is not Cell.state_shapes
        wanted = [(2, *part) for part in cell.state_shapes(shape)] if declared else [tuple(x.shape) for x in state]
    for what, parts in (("init_state", state), ("update", after)):
        if [tuple(x.shape) for x in parts] != wanted:
            raise Broken(f"{what} gives a state of {[tuple(x.shape) for x in parts]}; expected {wanted}")
    if tuple(output.shape[1:]) != tuple(spec.output_shape(shape)):
        raise Broken(
            f"update gives an output of {tuple(output.shape[1:])}, but output_shape of its options says"
            f" {tuple(spec.output_shape(shape))}"
        )


def _check_declared(case: Case) -> None:
    with doing("what it declares"):
        traits = case.net.traits()
    for stage in STAGES:
        if (stage, "cell") in traits and traits[stage, "cell"].pure:
            with doing(f"{stage} {case.where}"):
                why = why_stage_is_not_pure(case.area, stage, sorted({0, 1, case.cell.distinct_steps - 1}))
            if why:
                raise Broken(f"{stage} counts as pure, as declared, but in {case.mode} mode it {why}")


def _check_planned(case: Case, presentation: Presentation, remat: bool) -> None:
    steps, where = case.steps, case.where
    x = case.images(steps) if presentation.is_movie else case.images()
    with doing(f"the naive unroll {where}"), case.twin() as own:
        image = x.clone().requires_grad_()
        outputs, states = unroll(own, frames_of(own, presentation, image, steps))
        naive = {(area, t): outputs[area, t] for area in AREAS for t in range(steps)}
        last = states["cell", steps - 1]
        of_naive = gradients(own, image, [*naive.values(), *last])
    with doing(f"the planned unroll {where}"), case.twin() as planned:
        image = x.clone().requires_grad_()
        out = unrolled(planned, image, steps, presentation, remat=remat)
        found = {(area, t): out[area].values[:, t] for area, t in naive}
        state = state_of(out).cells["cell"]
        of_planned = gradients(planned, image, [*found.values(), *state])
    if not all(torch.isfinite(value).all() for value in (*naive.values(), *last)):
        raise Broken(f"its numbers {where} are not finite")
    for (area, t), value in naive.items():
        compare(found[area, t], value, f"the planned unroll {where} differs from the naive one at step {t}")
    for part, expected in zip(state, last, strict=True):
        compare(part, expected, f"the planned unroll {where} ends in another state than the naive one")
    for name, gradient in of_naive.items():
        compare(of_planned[name], gradient, f"the planned unroll {where} gives another gradient of {name}")
    buffers = dict(planned.named_buffers())
    for name, buffer in own.named_buffers():
        compare(buffers[name], buffer, f"the planned unroll {where} leaves another {name} than the naive one")


@torch.no_grad()
def _check_carried(case: Case) -> None:
    x, steps, where = case.images(case.steps), case.steps, case.where
    with doing(f"carrying a state {where}"):
        with case.twin() as net:
            whole = unrolled(net, x, steps)
        with case.twin() as net:
            begun = unrolled(net, x[:, :3], 3)
            given = state_of(begun).map(torch.clone)
            rest = unrolled(net, x[:, 3:], steps - 3, state=begun.state)
    compare(torch.cat([begun.logits, rest.logits], 1), whole.logits, f"3 + {steps - 3} steps {where} are not {steps}")
    for part, before in zip(state_of(begun).cells["cell"], given.cells["cell"], strict=True):
        compare(part, before, f"carrying on {where} overwrites the state that it is given")


@torch.no_grad()
def _check_streamed(case: Case) -> None:
    x = case.images(case.steps)
    with doing(f"streaming {case.where}"):
        with case.twin() as net:
            whole = unrolled(net, x, case.steps)
        state, logits = None, []
        with case.twin() as net:
            for t in range(case.steps):
                now, state = net.step(x[:, t], state)
                assert now is not None
                logits.append(now)
    compare(torch.stack(logits, 1), whole.logits, f"streaming {case.where} differs from an unroll")


@torch.no_grad()
def _check_emit(case: Case) -> None:
    x, last = case.images(case.steps), case.steps - 1
    with doing(f"emit {case.where}"):
        with case.twin() as net:
            whole = unrolled(net, x, case.steps)
        with case.twin() as net:
            out = net(x, case.steps, presentation=Movie(), record=Record("cell", steps=last), readout=PerStep(0))
    compare(out["cell"].values[:, 0], whole["cell"].values[:, last], f"emit {case.where} is not the output of update")


@torch.no_grad()
def _check_kept_apart(case: Case) -> None:
    """Nothing is kept of other images, nor comes from others in the batch, nor is shared with a copy."""
    x, twin = case.images(case.steps), copy.deepcopy(case.net)
    with doing("a second unroll"):
        with same_draws(case.net, "cell"):
            first = unrolled(case.net, x, case.steps)
        with same_draws(twin, "cell"):
            unrolled(twin, 2 * x, case.steps)
        for net in (case.net, twin):
            with same_draws(net, "cell"):
                again = unrolled(net, x, case.steps)
            what = "a second unroll" if net is case.net else "a copy of the network that has seen other images"
            compare(again.logits, first.logits, f"{what} gives other numbers: something is kept between calls")
    if case.is_pure:
        for i in range(BATCH):
            with doing("an image alone"):
                one = unrolled(case.net, x[i : i + 1], case.steps)
            compare(one.logits[0], first.logits[i], "an image alone gives other numbers than in a batch")


@torch.no_grad()
def _check_saved(case: Case) -> None:
    vary(case.net, torch.float32)
    x = case.images(case.steps).float()
    with doing("saving and loading"), tempfile.TemporaryDirectory() as folder:
        save_network(case.net, folder)
        nets = case.net, load_network(folder)
        logits = []
        for net in nets:
            with same_draws(net, "cell"):
                logits.append(unrolled(net, x, case.steps).logits)
    what = "saved and loaded it gives other numbers: all that it needs must be a parameter, a buffer or an option"
    compare(logits[1], logits[0], what)


@torch.no_grad()
def _check_other_size(case: Case) -> None:
    size = (case.size[0] + 4, 2 * case.size[1])
    x = case.images(case.steps, size=size)
    with doing(f"an unroll on images of {size}"), case.twin() as net:
        try:
            found = unrolled(net, x, case.steps)
        except VentralError:  # the cell says that it runs at one size only
            return
    with case.twin() as own:
        outputs, _ = unroll(own, frames_of(own, Movie(), x, case.steps))
    for t in range(case.steps):
        compare(found.logits[:, t], outputs["decoder", t], f"on images of {size} the planned unroll differs")


def _check_compiled(case: Case) -> None:
    x = case.images(case.steps).requires_grad_()
    compiled = copy.deepcopy(case.net)
    with doing("compiling"):
        compiled.compile(backend="aot_eager")
        logits = [unrolled(net, x, case.steps).logits for net in (case.net, compiled)]
        found = [gradients(net, x, [y]) for net, y in zip((case.net, compiled), logits, strict=True)]
    compare(logits[1], logits[0], "compiled it gives other numbers")
    for name, gradient in found[0].items():
        compare(found[1][name], gradient, f"compiled it gives another gradient of {name}")
