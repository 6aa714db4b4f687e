"""Property tests: on random networks the planned unroll equals the naive one, and 3 + 5 steps equal 8."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive import frames_of, unroll

import ventralstream as vs
from ventralstream.cells import GRU, LSTM, UGRNN, CORnetR, Decay, IntersectionRNN, Reciprocal, SimpleRNN
from ventralstream.layers.specs import Act, AddInput, Conv, Dropout, GlobalPool, Linear, Norm, Pool
from ventralstream.models import build

FAST = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
CELLS = (
    None,
    Decay(0.5),
    Decay(0.5, trainable=False),
    Decay(trainable=False),
    SimpleRNN(layer_norm=True),
    GRU(channels=5),
    LSTM(layer_norm=True),
    UGRNN(kernel=2),
    IntersectionRNN(),
    CORnetR(groups=2),
    Reciprocal(),
    Reciprocal(
        cell_channels=2, input_to_out=True, out_residual=True, residual_to_out_gate=False, gate_activation="tanh",
        input_activation="elu", tau_separable=True, gate_separable=True, gate_bias=True, tau_offset=0.9,
        tau_multiplier=-0.9, input_kernel=2, input_bias=True,
    ),
    Reciprocal(cell_to_out=True, cell_residual=True, layer_norm=True, feedback_to="cell"),
    Reciprocal(feedback_to="input", input_to_cell=False, feedback_activation="elu"),
)  # fmt: skip
NORMS = (
    Norm("group", groups=2),
    Norm("layer"),
    Norm("batch", per_step=2),
    Norm("batch", per_step=3, affine=False),
)


@st.composite
def specs(draw):
    """A random network: a chain with skips, feedback, laterals, delays, windows, cells, norms and strides."""
    count = draw(st.integers(1, 4))
    names = draw(st.permutations(["zeta", "A10", "A9", "keys", "half"]))[:count]
    areas, connections, start = [], [], 0
    for i, name in enumerate(names):
        cell = draw(st.sampled_from(CELLS))
        drive = [Conv(4, draw(st.sampled_from((1, 2, 3))), padding="same")]
        if draw(st.booleans()):
            drive += [draw(st.sampled_from(NORMS)), Act("elu")]
        output = [Act("tanh")]
        if draw(st.booleans()):
            output = [Conv(4), AddInput(), *output]
        if draw(st.integers(0, 2)) == 0:
            output.append(Pool("max", 2, 2))
        window = None
        if draw(st.integers(0, 3)) == 0:
            start = draw(st.integers(start, start + 2))
            stop = draw(st.one_of(st.none(), st.integers(start + 1, start + 5)))
            window = (start, stop)
        areas.append(vs.Area(name, tuple(drive), cell, tuple(output), window=window))
        arrives = draw(st.sampled_from(((0, None), (0, None), (0, 2), (1, None))))
        if i == 0:
            connections.append(vs.Connection("image", name, delay=draw(st.integers(0, 1)), arrives=(0, None)))
        else:
            delay = draw(st.integers(0, 2))
            layers = draw(st.sampled_from(((), (), (Conv(3, 1), Norm("batch", per_step=2)))))
            per_step, shared = (draw(st.integers(0, 3)), draw(st.sampled_from(("", "k")))) if layers else (0, "")
            connections.append(
                vs.Connection(
                    names[i - 1], name, delay=delay, arrives=arrives, layers=layers, per_step=per_step, shared=shared
                )
            )
    for _ in range(draw(st.integers(0, 4))):
        a, b = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        kind = "lateral" if a == b else "skip" if a < b else "feedback"
        delay = draw(st.integers(0, 2)) if a < b else draw(st.integers(1, 3))
        if any((c.source, c.target, c.delay) == (names[a], names[b], delay) for c in connections):
            continue
        residual = draw(st.booleans())
        layers = (
            (
                Conv(
                    areas[a].cell.output_shape((4, 8, 8))[0]
                    if areas[a].cell and not areas[a].output[0].sets_channels
                    else 4
                ),
            )
            if residual
            else ()
        )
        per_step = draw(st.integers(0, 2)) if layers else 0
        connections.append(
            vs.Connection(names[a], names[b], kind, delay, layers=layers, residual=residual, per_step=per_step)
        )
    decoder = vs.Area("decoder", (GlobalPool(), Linear(3)))
    connections.append(vs.Connection(names[-1], "decoder", delay=draw(st.integers(0, 1))))
    return vs.NetworkSpec(
        "random",
        (*areas, decoder),
        tuple(draw(st.permutations(connections))),
        "decoder",
        input_shape=(2, 8, 8),
        before_start=draw(st.sampled_from(("zeros", "silent"))),
        mean=(0.4, 0.5),
        std=(0.3, 0.2),
    )


presentations = st.one_of(
    st.just(vs.Constant()),
    st.builds(
        vs.Flash,
        on=st.integers(1, 4),
        before=st.integers(0, 2),
        space=st.sampled_from(("pixels", "normalised")),
    ),
    st.builds(vs.Masked, on=st.integers(1, 3), mask=st.integers(1, 2), gap=st.integers(0, 1)),
    st.just(vs.Movie()),
)


def built(spec: vs.NetworkSpec):
    """The network in float64 with every parameter away from its special values."""
    net = build(spec, seed=0).double().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return net


def shown(presentation: vs.Presentation, steps: int):
    torch.manual_seed(1)
    if presentation.is_movie:
        return torch.randn(3, steps, 2, 8, 8, dtype=torch.double)
    return {
        "image": torch.randn(3, 2, 8, 8, dtype=torch.double),
        "mask": torch.randn(3, 2, 8, 8, dtype=torch.double),
    }


@st.composite
def networks(draw):
    from hypothesis import assume

    try:
        net = built(draw(specs()))
        net.extra_repr = net.spec.to_text  # so that a failure shows the network
        return net
    except vs.VentralError:  # an impossible shape, or a window the image never reaches
        assume(False)


@FAST
@given(networks(), presentations, st.integers(1, 8), st.data())
def test_planned_equals_naive(net, presentation, steps, data) -> None:
    x = shown(presentation, steps)
    names = [a.name for a in net.spec.areas if a.exists(steps - 1)]
    recorded = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    record = vs.Record(recorded, steps=data.draw(st.one_of(st.none(), st.just([steps - 1]))))
    remat = data.draw(st.booleans())
    out = net(
        x,
        steps,
        presentation=presentation,
        record=record,
        readout=vs.PerStep(0),
        return_state=True,
        remat=remat,
    )
    outputs, states = unroll(net, frames_of(net, presentation, x, steps))

    weights = {}
    planned_loss = naive_loss = torch.zeros((), dtype=torch.double)
    for name in recorded:
        for i, t in enumerate(out[name].steps):
            torch.testing.assert_close(out[name].values[:, i], outputs[name, t])
            weights[name, t] = torch.randn_like(outputs[name, t])
            planned_loss = planned_loss + (out[name].values[:, i] * weights[name, t]).sum()
            naive_loss = naive_loss + (outputs[name, t] * weights[name, t]).sum()
    for i, t in enumerate(out.steps):
        torch.testing.assert_close(out.logits[:, i], outputs["decoder", t])
    for name, parts in out.state.cells.items():
        for part, expected in zip(parts, states[name, steps - 1], strict=True):
            torch.testing.assert_close(part, expected)
            weight = torch.randn_like(expected)
            planned_loss = planned_loss + (part * weight).sum()
            naive_loss = naive_loss + (expected * weight).sum()

    parameters = dict(net.named_parameters())
    if not planned_loss.requires_grad:  # the naive unroll may have multiplied parameters with zero states
        if naive_loss.requires_grad:
            unused = torch.autograd.grad(naive_loss, parameters.values(), allow_unused=True)
            assert not any(g is not None and g.any() for g in unused)
        return
    planned = torch.autograd.grad(planned_loss, parameters.values(), allow_unused=True)
    naive = torch.autograd.grad(naive_loss, parameters.values(), allow_unused=True)
    for name, a, b in zip(parameters, planned, naive, strict=True):
        zero = torch.zeros_like(parameters[name])
        torch.testing.assert_close(
            zero if a is None else a, zero if b is None else b, msg=lambda m, n=name: f"{n}: {m}"
        )


@FAST
@given(networks(), presentations, st.integers(1, 7), st.integers(1, 7))
def test_carried_state(net, presentation, first, second) -> None:
    total = first + second
    x = shown(presentation, total)
    decoder = vs.PerStep(0)
    whole = net(x, total, presentation=presentation, readout=decoder, return_state=True)
    now, later = (x[:, :first], x[:, first:]) if presentation.is_movie else (x, x)
    a = net(now, first, presentation=presentation, readout=decoder, return_state=True)
    b = net(later, second, presentation=presentation, readout=decoder, state=a.state, return_state=True)
    assert (*a.steps, *b.steps) == whole.steps
    torch.testing.assert_close(torch.cat([a.logits, b.logits], 1), whole.logits)
    assert b.state.step == whole.state.step == total
    assert b.state.cells.keys() == whole.state.cells.keys()
    for name, parts in whole.state.cells.items():
        torch.testing.assert_close(b.state.cells[name], parts)
    for name, past in whole.state.outputs.items():
        torch.testing.assert_close(b.state.outputs[name], past)


@FAST
@given(networks(), st.integers(1, 16))
def test_streaming_equals_a_movie(net, steps) -> None:
    x = shown(vs.Movie(), steps)
    whole = net(x, steps, presentation=vs.Movie(), readout=vs.PerStep(0))
    state, logits = None, []
    with torch.no_grad():
        for t in range(steps):
            now, state = net.step(x[:, t], state)
            logits.append(now)
    torch.testing.assert_close(torch.stack(logits, 1), whole.logits)


@FAST
@given(specs())
def test_json_and_names(spec) -> None:
    assert vs.spec_from_json(spec.to_text()) == spec
    try:
        net = built(spec)
    except vs.VentralError:
        return
    renamed = built(vs.rename_areas(spec, {a.name: f"area{9 - i}" for i, a in enumerate(spec.areas)}))
    x = shown(vs.Constant(), 5)
    torch.testing.assert_close(net(x, 5).output, renamed(x, 5).output, rtol=0, atol=0)


@FAST
@given(networks(), st.integers(2, 6))
def test_training_mode_equals_naive(net, steps) -> None:
    """Batch statistics: what is computed is what the naive unroll computes."""
    net.train()
    x = shown(vs.Flash(on=3), steps)
    out = net(x, steps, presentation=vs.Flash(on=3), readout=vs.PerStep(0))
    outputs, _ = unroll(net, frames_of(net, vs.Flash(on=3), x, steps))
    for i, t in enumerate(out.steps):
        torch.testing.assert_close(out.logits[:, i], outputs["decoder", t])
    torch.testing.assert_close(net(x, steps, presentation=vs.Flash(on=3)).output, outputs["decoder", steps - 1])


def test_the_planner_really_merges() -> None:
    net = build(vs.model_spec("rgc_shallow_cifar"), seed=0).eval()
    from ventralstream.program import Request

    program = net.plan(Request(0, 10, vs.Constant(), frozenset({("decoder", 9)})))
    assert program.count("computed", "batch-free") == program.area_steps_planned < program.area_steps_naive / 1.8
    assert program.fates["conv1", 0] == "computed" and program.fates["conv1", 3] == "reused"
    assert program.fates["conv5", 2] == "batch-free" and program.fates["decoder", 4] == "skipped"


def test_dropout_is_drawn_anew_at_every_step() -> None:
    areas = (vs.Area("a", (Conv(3), Dropout(0.5))), vs.Area("decoder", (GlobalPool(), Linear(2))))
    connections = (vs.Connection("image", "a", delay=0), vs.Connection("a", "decoder", delay=0))
    net = build(vs.NetworkSpec("d", areas, connections, "decoder", (2, 8, 8), mean=(0.0, 0.0), std=(1.0, 1.0)), seed=0)
    out = net(torch.randn(2, 2, 8, 8), 3, readout=vs.PerStep(0), presentation=vs.Constant())
    assert not torch.equal(out.logits[:, 0], out.logits[:, 1])
    net.eval()
    out = net(torch.randn(2, 2, 8, 8), 3, readout=vs.PerStep(0), presentation=vs.Constant())
    assert torch.equal(out.logits[:, 0], out.logits[:, 1])


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.5, 0.9, 1.0])
def test_early_exit_equals_the_threshold_readout_and_stops(threshold: float) -> None:
    net = build(vs.model_spec("gru_shallow_cifar"), seed=1).eval()
    with torch.no_grad():
        for p in net.areas["decoder"].parameters():
            p.mul_(60)
    torch.manual_seed(0)
    x = torch.randn(16, 3, 32, 32)
    decision = net.decide(x, threshold, 9)
    out = net(x, 9, readout=vs.Threshold(threshold=threshold))
    torch.testing.assert_close(decision.step, out.decided_step)
    torch.testing.assert_close(decision.logits, out.output, rtol=1e-4, atol=1e-4)
    assert torch.equal(decision.times_ms, decision.step * 10.0)

    rows = []
    inner = net.areas["conv3"].update
    net._compiled["update", "conv3"] = lambda step, *args: rows.append(args[0][0].shape[0]) or inner(step, *args)
    net.decide(x, threshold, 9)
    still_open = [int((decision.step >= t).sum()) for t in range(5, 9)]
    assert set(rows) <= {1, 16, *still_open}
    if threshold == 0.0:
        assert decision.step.eq(5).all() and len(rows) < 7, "everything is decided at the first driven step"
