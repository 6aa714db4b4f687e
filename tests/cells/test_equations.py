"""Every option of every cell against its equations (tests/cells/oracles.py): outputs, states and all gradients."""

from __future__ import annotations

import copy
import dataclasses
import random
import typing
from typing import Annotated, Any, Literal

import pytest
import torch
from oracles import ORACLES, Parameters

from ventralstream.cells import create_cell, list_cells
from ventralstream.errors import VentralError
from ventralstream.jsonable import hints, spec_class
from ventralstream.spec import CellSpec

STEPS, HEIGHT, WIDTH = 5, 5, 6
BASES = {"cornet_r": {"groups": 2}, "cornet_s": {"scale": 2}}  # what makes the default options small enough
NEEDS = {  # other options without which one has no effect, or is refused
    ("reciprocal", "channels"): {"input_to_out": True},
    ("reciprocal", "to_out_kernel"): {"input_to_out": True},
    ("reciprocal", "input_bias"): {"cell_to_out": True},
}
NUMBERS = {int: (1, 2, 3, 5), float: (-0.7, 1.7)}


def other_values(hint: Any, default: Any) -> list[Any]:
    """What else than its default an option can be."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return [v for v in NUMBERS[args[0]] if v in args[1] and v != default]
    if origin is Literal:
        return [v for v in args if v != default]
    if hint is bool:
        return [not default]
    raise AssertionError(f"no values for options of type {hint}: say here which to try")


def fields(name: str) -> dict[str, list[Any]]:
    """The options of a cell, with values to try."""
    cls = spec_class(name)
    defaults = {f.name: f.default for f in dataclasses.fields(cls)} | BASES.get(name, {})
    return {f: other_values(hint, defaults[f]) for f, hint in hints(cls).items()}


def made_of(name: str, options: dict[str, Any]) -> list[CellSpec]:
    """The cell with these options; nothing if they do not go together."""
    try:
        return [create_cell(name, **{**BASES.get(name, {}), **options})]
    except VentralError:
        return []


def singles() -> list[CellSpec]:
    """Each cell with its default options, and with each value of each option."""
    made = []
    for name in list_cells():
        made += made_of(name, {})
        for option, values in fields(name).items():
            others = [x for v in values for x in made_of(name, {**NEEDS.get((name, option), {}), option: v})]
            assert others, f"no value of {name}'s {option} was accepted"
            made += others
    return made


def mixtures(name: str, count: int) -> list[CellSpec]:
    """A cell with many options changed at once, those that do not go together left out."""
    chance = random.Random(name)
    made: list[CellSpec] = []
    while len(made) < count:
        made += made_of(name, {f: chance.choice(values) for f, values in fields(name).items() if chance.random() < 0.4})
    return made


def channels_for(spec: CellSpec) -> int:
    """Channels that the groups divide."""
    return 32 if getattr(spec, "norm", "") == "group" else 2 * getattr(spec, "groups", 2)


def normal(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return (0.5 * values).requires_grad_()


def compare(spec: CellSpec, training: bool = False, raw_like_output: bool = False, begun: bool = False) -> None:
    """Runs a cell and its oracle for some steps, and compares all there is.

    `begun`: from a state in the middle of a sequence instead of the first one.
    """
    shape = (channels_for(spec), HEIGHT, WIDTH)
    raw_channels = spec.output_shape(shape)[0] if raw_like_output else 3
    torch.manual_seed(0)
    cell = spec.build(shape, (raw_channels, HEIGHT, WIDTH), 2 if spec.feedback_entry != "none" else 0).double()
    cell.train(training)
    with torch.no_grad():
        for i, p in enumerate(cell.parameters()):
            p.copy_(0.4 * normal(*p.shape, seed=i))
        for name, b in cell.named_buffers():
            if "running" in name:
                b.copy_(1 + normal(*b.shape, seed=5).abs())
    twin = copy.deepcopy(cell)
    p = Parameters(twin)
    state = cell.init_state(3, shape, torch.empty(0, dtype=torch.double))
    if begun:
        state = tuple(normal(*part.shape, seed=9 + i) for i, part in enumerate(state))
    expected_state = state
    if cell.takes_no_state and not begun:
        state = None
    channels = (shape[0], raw_channels, 2)  # of the input, the area's own input, the feedback
    inputs = [[normal(3, n, HEIGHT, WIDTH, seed=9 * t + n) for n in channels] for t in range(STEPS)]
    found, expected = [], []
    for step, (x, raw, feedback) in enumerate(inputs, start=int(begun)):
        sent = feedback if spec.feedback_entry != "none" and step != 2 else None  # at one step nothing arrives
        extra = {"raw": raw} if cell.needs_raw else {}
        arrived = None if sent is None else cell.feedback(sent)
        if spec.feedback_entry == "drive":
            extra["feedback"] = arrived
        drive = cell.drive(x, **extra)
        into_update = {"feedback": arrived} if spec.feedback_entry == "update" else {}
        emitted = copy.deepcopy(cell).emit(drive, state, step, into_update.get("feedback"))
        output, state = cell.update(drive, state, step, **into_update)
        torch.testing.assert_close(emitted, output)
        found += [output, *state]
        wanted, expected_state = ORACLES[spec.tag](spec, p, x, raw, sent, expected_state, step, training)
        expected += [wanted, *expected_state]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.expand_as(b), b)  # of a batch of one, if nothing entered it

    def gradients(values: list[torch.Tensor], module: torch.nn.Module) -> list[torch.Tensor | None]:
        values = [v.expand(3, *v.shape[1:]) for v in values]
        loss = sum((v * normal(*v.shape, seed=40 + i).detach()).sum() for i, v in enumerate(values))
        over = [*module.parameters(), *(v for step in inputs for v in step)]
        return list(torch.autograd.grad(loss, over, allow_unused=True))

    for a, b in zip(gradients(found, cell), gradients(expected, twin), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)
    if not begun:
        unread = {n for n in p.all if "num_batches" not in n} - p.read
        assert not unread, "parameters that the equations do not have"


def label(spec: CellSpec) -> str:
    default = type(spec)()
    changed = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    return spec.tag + ",".join(f" {k}={v}" for k, v in changed.items() if v != getattr(default, k))


def test_options_that_say_how_a_cell_starts() -> None:
    """docs/papers.md A.3: the biases of a GRU's gates start at 1; tau starts where told, is learned or not."""
    cell = create_cell("gru").build((4, 5, 6), (4, 5, 6), 0)
    with torch.no_grad():
        cell.from_input.conv.bias.zero_()
    cell.start()
    assert cell.from_input.conv.bias.tolist() == [1.0] * 8 + [0.0] * 4
    for trainable in (True, False):
        cell = create_cell("decay", initial=0.25, trainable=trainable).build((4, 5, 6), (4, 5, 6), 0)
        assert cell.tau.item() == 0.25 and [n for n, _ in cell.named_parameters()] == ["tau"] * trainable


def test_every_cell_has_an_oracle() -> None:
    assert sorted(ORACLES) == [name for name in list_cells() if not name.startswith("user_")]


@pytest.mark.parametrize("spec", singles(), ids=label)
def test_each_option_alone(spec: CellSpec) -> None:
    compare(spec)


@pytest.mark.parametrize(
    "spec",
    [m for name in list_cells() for m in mixtures(name, 24 if name == "reciprocal" else 4)],
    ids=label,
)
def test_options_together(spec: CellSpec) -> None:
    compare(spec, training=True)
    compare(spec, begun=True, raw_like_output=True)
