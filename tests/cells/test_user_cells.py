"""Users' cells on random networks: planned equals naive in training and in evaluation mode, draw for draw."""

from __future__ import annotations

import copy
from contextlib import ExitStack

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from naive import frames_of, unroll
from test_plan_properties import presentations, shown, specs
from user_cells import KINDS

import ventralstream as vs
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear
from ventralstream.network import Network
from ventralstream.program import Request
from ventralstream.testing.case import close, gradients, vary
from ventralstream.testing.chance import same_draws

FEW = settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
)


def network(data: st.DataObject, kind: str) -> Network:
    """A random network with a cell of that kind in every area, or in some of them beside other kinds."""
    spec = data.draw(specs())
    others = data.draw(st.sampled_from(("same", "same", *KINDS)))
    cells = iter([KINDS[kind](), *([KINDS[kind if others == "same" else others]()] * 5)])
    areas = [a if a.name == "decoder" else a.replace(cell=next(cells)) for a in spec.areas]
    try:
        net = Network(spec.replace(areas=tuple(areas)))
    except vs.VentralError:  # a residual transition meant for other channels, or a window the image never reaches
        assume(False)
    net.extra_repr = net.spec.to_text  # so that a failure shows the network
    vary(net, torch.float64)
    return net


def drawn(net: Network) -> ExitStack:
    """Every cell's stages draw by how often they were called."""
    stack = ExitStack()
    for area in net.spec.areas:
        if area.cell is not None:
            stack.enter_context(same_draws(net, area.name))
    return stack


def leaf(shown):
    """The image or movie as a leaf that gradients reach, and the stimulus it is part of."""
    if isinstance(shown, dict):
        image = shown["image"].clone().requires_grad_()
        return image, {**shown, "image": image}
    movie = shown.clone().requires_grad_()
    return movie, movie


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(presentations, st.integers(1, 5), st.booleans(), st.data())
def test_planned_equals_naive(kind: str, presentation, steps: int, training: bool, data) -> None:
    net = network(data, kind).train(training)
    x = shown(presentation, steps)
    areas = [a for a in net.spec.areas if a.exists(steps - 1)]
    going_on = [a.name for a in areas if a.cell and a.active(steps - 1) and a.active(steps)]  # states are carried
    planned = copy.deepcopy(net)
    with drawn(net):
        image, stimulus = leaf(x)
        outputs, states = unroll(net, frames_of(net, presentation, stimulus, steps))
        naive = {(a.name, t): outputs[a.name, t] for a in areas for t in range(steps) if a.exists(t)}
        ends = {(a, i): part for a in going_on for i, part in enumerate(states[a, steps - 1])}
        of_naive = gradients(net, image, [*naive.values(), *ends.values()])
    with drawn(planned):
        image, stimulus = leaf(x)
        out = planned(
            stimulus,
            steps,
            presentation=presentation,
            record=vs.Record([a.name for a in areas]),
            readout=vs.PerStep(0),
            return_state=True,
            remat=data.draw(st.booleans()),
        )
        found = {(a.name, t): out[a.name].values[:, i] for a in areas for i, t in enumerate(out[a.name].steps)}
        found_ends = {(a, i): part for a in going_on for i, part in enumerate(out.state.cells[a])}
        of_planned = gradients(planned, image, [*(found[k] for k in naive), *(found_ends[k] for k in ends)])
    buffers = dict(net.named_buffers()), dict(planned.named_buffers())
    for expected, got in ((naive, found), (ends, found_ends), (of_naive, of_planned), buffers):
        assert expected.keys() == got.keys()
        for key, value in expected.items():
            assert close(got[key], value), key


def program(kind: str, training: bool):
    """What is planned for a cell in a chain, its image shown throughout."""
    areas = (
        vs.Area("cell", (Conv(4),), KINDS[kind](), (Act("tanh"),)),
        vs.Area("decoder", (GlobalPool(), Linear(2))),
    )
    connections = (vs.Connection("image", "cell", delay=0), vs.Connection("cell", "decoder", delay=0))
    spec = vs.NetworkSpec("p", areas, connections, "decoder", (2, 8, 8), mean=(0.0, 0.0), std=(1.0, 1.0))
    net = Network(spec).train(training)
    return net.plan(Request(0, 6, vs.Constant(), frozenset({("decoder", 5)})))


def calls(program, op: str) -> int:
    return sum(i.value.op == op and i.value.owner == "cell" for i in program.instructions)


@pytest.mark.parametrize(
    ("kind", "in_training", "in_evaluation"),
    [
        ("plain", 6, 1),  # says nothing: it is tried in evaluation mode
        ("plain_declared", 1, 1),
        ("complex", 6, 1),
        ("looks_stateful", 6, 1),
        ("dropout", 6, 1),
        ("dropout_declared", 6, 1),
        ("functional_dropout", 6, 1),
        ("noise", 6, 6),
        ("noise_declared", 1, 1),  # the noise is in its update
        ("numpy_noise", 6, 6),
        ("batchnorm_in_drive", 6, 1),
        ("batchnorm_in_update_declared", 1, 1),  # says which modules its drive uses
        ("batch_mean", 6, 6),
        ("in_place_state", 6, 1),
        ("in_place_drive", 6, 1),  # what it overwrites is its own copy of the layers' output
    ],
)
def test_how_often_a_drive_is_computed(kind: str, in_training: int, in_evaluation: int) -> None:
    assert calls(program(kind, training=True), "drive") == in_training
    assert calls(program(kind, training=False), "drive") == in_evaluation
