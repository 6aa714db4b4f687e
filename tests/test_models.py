"""Every registered model goes through the same checks; a new model needs no new test."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from naive import frames_of, unroll
from small_models import small_published as small

import ventralstream as vs
from ventralstream.network import Network

MODELS = vs.list_models()


def stimulus(net: Network, grow: int = 0) -> torch.Tensor:
    torch.manual_seed(1)
    channels, height, width = net.spec.input_shape
    return torch.randn(2, channels, height + grow, width + 2 * grow, dtype=torch.double)


def oracle(net: Network, x: torch.Tensor, steps: int):
    return unroll(net, frames_of(net, net.spec.presentation, x, steps))


def least_steps(net: Network) -> int:
    return net.spec.area(net.spec.readout_area).start + 1


def areas(net: Network) -> list[str]:
    return [a.name for a in net.spec.areas]


@pytest.mark.parametrize("name", MODELS)
def test_every_area_state_and_readout_equals_naive(name: str) -> None:
    net = small(name)
    x, steps = stimulus(net), net.spec.steps
    with torch.no_grad():
        out = net(x, record=vs.Record(areas(net)), readout=vs.PerStep(), return_state=True)
        outputs, states = oracle(net, x, steps)
        decided = net(x).output
    for area in areas(net):
        assert out[area].steps == tuple(range(net.spec.area(area).start, steps))
        for i, t in enumerate(out[area].steps):
            torch.testing.assert_close(out[area].values[:, i], outputs[area, t])
    for area, parts in out.state.cells.items():
        for part, expected in zip(parts, states[area, steps - 1], strict=True):
            torch.testing.assert_close(part, expected)
    wanted = net.readout_steps(net.spec.readout, steps)
    logits = torch.stack([outputs[net.spec.readout_area, t] for t in wanted], 1)
    torch.testing.assert_close(decided, net.spec.readout.decide(logits))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_equal_naive_and_no_parameter_is_unused(name: str) -> None:
    net = small(name)
    x = stimulus(net).requires_grad_()
    out = net(x, readout=vs.Last()).output
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    planned = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    image_grad, x.grad = x.grad.clone(), None
    net.zero_grad()
    outputs, _ = oracle(net, x, net.spec.steps)
    (outputs[net.spec.readout_area, net.spec.steps - 1] * weight).sum().backward()
    for n, p in net.named_parameters():
        assert n in planned, f"{n} is unused"
        torch.testing.assert_close(planned[n], p.grad, msg=lambda m, n=n: f"{n}: {m}")
    torch.testing.assert_close(image_grad, x.grad)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_any_number_of_steps(name: str) -> None:
    net = small(name)
    x, most = stimulus(net), net.spec.steps + 3
    outputs, _ = oracle(net, x, most)
    for steps in sorted({*range(1, most, 4), least_steps(net), net.spec.steps, most}):
        if steps < least_steps(net):
            with pytest.raises(vs.VentralError, match="too few"):
                net(x, steps, readout=vs.Last())
        else:
            logits = net(x, steps, readout=vs.Last()).output
            torch.testing.assert_close(logits, outputs[net.spec.readout_area, steps - 1])


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_another_input_size(name: str) -> None:
    net = small(name)
    x, steps = stimulus(net, grow=8), net.spec.steps
    if "peepholes" in "".join(n for n, _ in net.named_parameters()):
        with pytest.raises(vs.VentralError, match="nominal input size"):
            net(x)
        return
    outputs, _ = oracle(net, x, steps)
    torch.testing.assert_close(net(x, readout=vs.Last()).output, outputs[net.spec.readout_area, steps - 1])


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_carried_state_and_streaming(name: str) -> None:
    net = small(name)
    x, steps = stimulus(net), net.spec.steps + 1
    whole = net(x, steps, readout=vs.PerStep(), record=vs.Record(areas(net)))
    if (begin := max(least_steps(net), steps // 2)) < steps:
        early = net(x, begin, return_state=True, readout=vs.PerStep())
        late = net(x, steps - begin, state=early.state, readout=vs.PerStep(), record=vs.Record(areas(net)))
        for area in areas(net):
            for i, t in enumerate(late[area].steps):
                torch.testing.assert_close(late[area].values[:, i], whole[area].values[:, whole[area].steps.index(t)])
    state = None
    for t, frame in enumerate(frames_of(net, net.spec.presentation, x, steps)):
        logits, state = net.step(frame, state)
        if t in whole.steps:
            torch.testing.assert_close(logits, whole.logits[:, whole.steps.index(t)])


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_saving_and_copying_change_nothing(name: str, tmp_path: Path) -> None:
    net = small(name)
    x = stimulus(net)
    expected = net(x).output
    vs.save_network(net, tmp_path)
    loaded = vs.load_network(tmp_path)
    assert loaded.spec == net.spec
    torch.testing.assert_close(loaded.double()(x).output, expected, rtol=1e-4, atol=1e-4 * expected.std().item())
    copied = copy.deepcopy(net)
    assert torch.equal(copied(x).output, expected)
    for p in copied.parameters():
        p.zero_()
    assert torch.equal(net(x).output, expected)


def different_networks() -> list[str]:
    """The models without those that only read out, or show, the same network otherwise: their step is the same."""
    specs = {name: vs.model_spec(name) for name in MODELS}
    first = {(spec.areas, spec.connections): name for name, spec in reversed(specs.items())}
    return sorted(first.values())


@pytest.mark.parametrize("name", different_networks())
@torch.no_grad()
def test_compiling_the_step_changes_nothing(name: str) -> None:
    net = small(name)
    frame = stimulus(net)

    def stream():
        state, all_logits = None, []
        for _ in range(2):  # from no state, and from one
            logits, state = net.step(frame, state)
            all_logits.append(logits)
        return all_logits, state

    logits, state = stream()
    net.compile(backend="eager")
    compiled_logits, compiled_state = stream()
    torch.testing.assert_close(compiled_logits, logits)
    torch.testing.assert_close(compiled_state.cells, state.cells)
    torch.testing.assert_close(compiled_state.outputs, state.outputs)
