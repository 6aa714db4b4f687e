"""Every registered model goes through the same checks; a new model needs no new test."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from naive import frames_of, unroll
from small_models import small_published as small
from torch import Tensor

import ventralstream as vs
from ventralstream.network import Network

MODELS = vs.list_models()


@dataclass(frozen=True)
class Case:
    """A model made small, images, and what the naive unroll makes of them until three steps beyond the model's own."""

    net: Network
    x: Tensor
    outputs: dict[tuple[str, int], Tensor]
    states: dict[tuple[str, int], tuple[Tensor, ...]]

    @property
    def areas(self) -> list[str]:
        return [a.name for a in self.net.spec.areas]

    @property
    def least_steps(self) -> int:
        return self.net.spec.area(self.net.spec.readout_area).start + 1

    def logits(self, step: int) -> Tensor:
        return self.outputs[self.net.spec.readout_area, step]


BEYOND = 3


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    net = small(request.param)
    x = stimulus(net).requires_grad_()
    return Case(net, x, *oracle(net, x, net.spec.steps + BEYOND))


def stimulus(net: Network, grow: int = 0) -> Tensor:
    torch.manual_seed(1)
    channels, height, width = net.spec.input_shape
    return torch.randn(2, channels, height + grow, width + 2 * grow, dtype=torch.double)


def oracle(net: Network, x: Tensor, steps: int):
    return unroll(net, frames_of(net, net.spec.presentation, x, steps))


@torch.no_grad()
def test_every_area_state_and_readout_equals_naive(case: Case) -> None:
    net, steps = case.net, case.net.spec.steps
    out = net(case.x, record=vs.Record(case.areas), readout=vs.PerStep(), return_state=True)
    for area in case.areas:
        assert out[area].steps == tuple(range(net.spec.area(area).start, steps))
        for i, t in enumerate(out[area].steps):
            torch.testing.assert_close(out[area].values[:, i], case.outputs[area, t])
    for area, parts in out.state.cells.items():
        for part, expected in zip(parts, case.states[area, steps - 1], strict=True):
            torch.testing.assert_close(part, expected)
    logits = torch.stack([case.logits(t) for t in net.readout_steps(net.spec.readout, steps)], 1)
    torch.testing.assert_close(net(case.x).output, net.spec.readout.decide(logits))


def test_gradients_equal_naive_and_no_parameter_is_unused(case: Case) -> None:
    names, parameters = zip(*case.net.named_parameters(), strict=True)
    planned_logits = case.net(case.x, readout=vs.Last()).output
    naive_logits = case.logits(case.net.spec.steps - 1)
    weight = torch.randn_like(planned_logits)
    planned, naive = (
        torch.autograd.grad((logits * weight).sum(), (case.x, *parameters), retain_graph=True, allow_unused=True)
        for logits in (planned_logits, naive_logits)
    )
    for name, a, b in zip(("the image", *names), planned, naive, strict=True):
        assert a is not None, f"{name} is unused"
        torch.testing.assert_close(a, b, msg=lambda m, name=name: f"{name}: {m}")


@torch.no_grad()
def test_any_number_of_steps(case: Case) -> None:
    least, trained, most = case.least_steps, case.net.spec.steps, case.net.spec.steps + BEYOND
    for steps in {1, least - 1} - {0, least}:
        with pytest.raises(vs.VentralError, match="too few"):
            case.net(case.x, steps, readout=vs.Last())
    for steps in {least, (least + trained) // 2, trained, most}:
        logits = case.net(case.x, steps, readout=vs.Last()).output
        torch.testing.assert_close(logits, case.logits(steps - 1))


@torch.no_grad()
def test_another_input_size(case: Case) -> None:
    x, steps = stimulus(case.net, grow=8), case.net.spec.steps
    if "peepholes" in "".join(n for n, _ in case.net.named_parameters()):
        with pytest.raises(vs.VentralError, match="nominal input size"):
            case.net(x)
        return
    outputs, _ = oracle(case.net, x, steps)
    torch.testing.assert_close(case.net(x, readout=vs.Last()).output, outputs[case.net.spec.readout_area, steps - 1])


@torch.no_grad()
def test_carried_state(case: Case) -> None:
    steps = case.net.spec.steps + 1
    begin = max(case.least_steps, steps // 2)
    early = case.net(case.x, begin, return_state=True, readout=vs.PerStep())
    late = case.net(case.x, steps - begin, state=early.state, readout=vs.PerStep(), record=vs.Record(case.areas))
    for area in case.areas:
        assert late[area].steps == tuple(range(begin, steps))
        for i, t in enumerate(late[area].steps):
            torch.testing.assert_close(late[area].values[:, i], case.outputs[area, t])


@torch.no_grad()
def test_streaming(case: Case) -> None:
    state = None
    for t, frame in enumerate(frames_of(case.net, case.net.spec.presentation, case.x, case.net.spec.steps + 1)):
        logits, state = case.net.step(frame, state)
        if t + 1 >= case.least_steps:
            torch.testing.assert_close(logits, case.logits(t))


@torch.no_grad()
def test_saving_and_copying_change_nothing(case: Case, tmp_path: Path) -> None:
    net, steps = case.net, case.least_steps + 1
    expected = net(case.x, steps).output
    vs.save_network(net, tmp_path)
    loaded = vs.load_network(tmp_path)
    assert loaded.spec == net.spec
    saved = loaded.state_dict()
    assert saved.keys() == net.state_dict().keys()
    assert all(torch.equal(saved[k], v.to(saved[k].dtype)) for k, v in net.state_dict().items())
    torch.testing.assert_close(
        loaded.double()(case.x, steps).output, expected, rtol=1e-4, atol=1e-4 * expected.std().item()
    )
    copied = copy.deepcopy(net)
    assert torch.equal(copied(case.x, steps).output, expected)
    for p in copied.parameters():
        p.zero_()
    assert torch.equal(net(case.x, steps).output, expected)


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
    torch._dynamo.reset()  # or what other tests compiled would count towards the most that is compiled of a function
    net.compile(backend="eager", dynamic=False, fullgraph=True)
    compiled_logits, compiled_state = stream()
    torch.testing.assert_close(compiled_logits, logits)
    torch.testing.assert_close(compiled_state.cells, state.cells)
    torch.testing.assert_close(compiled_state.outputs, state.outputs)
