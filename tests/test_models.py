"""Every registered model goes through the same checks; a new model needs no new test."""

from __future__ import annotations

import pytest
import torch
from naive import frames_of, unroll

import ventralstream as vs
from ventralstream.models import build
from ventralstream.network import Network


def narrow(data):
    """A spec's JSON with an eighth of the channels (32 at least, for the groups of CORnet's norms)."""
    if isinstance(data, dict):
        return {
            k: max(32, v // 8) if k in ("channels", "cell_channels") and v > 32 else narrow(v) for k, v in data.items()
        }
    return [narrow(v) for v in data] if isinstance(data, list) else data


def small(name: str, **options) -> Network:
    """The model in float64, narrow, for small images."""
    spec = vs.model_spec(name, num_classes=7, **options)
    size = min(80, spec.input_shape[1])
    spec = vs.spec_from_json(narrow(spec.to_json()))
    return build(spec.replace(input_shape=(3, size, size)), seed=0).double().eval()


def stimulus(net: Network, batch: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, *net.spec.input_shape, dtype=torch.double)


@pytest.mark.parametrize("name", vs.list_models())
def test_planned_equals_naive(name: str) -> None:
    net = small(name)
    x = stimulus(net)
    steps = net.spec.steps
    areas = [a.name for a in net.spec.areas]
    out = net(x, record=vs.Record(areas), readout=vs.PerStep(), return_state=True)
    outputs, states = unroll(net, frames_of(net, net.spec.presentation, x, steps))
    for area in areas:
        for i, t in enumerate(out[area].steps):
            torch.testing.assert_close(out[area].values[:, i], outputs[area, t])
    for area, parts in out.state.cells.items():
        for part, expected in zip(parts, states[area, steps - 1], strict=True):
            torch.testing.assert_close(part, expected)


@pytest.mark.parametrize("name", vs.list_models())
def test_gradients_equal_naive_and_no_parameter_is_unused(name: str) -> None:
    net = small(name)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.01 * torch.randn_like(p))  # a time decay of exactly 0 would hide its effect
    x = stimulus(net).requires_grad_()
    out = net(x).output
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    planned = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    image_grad, x.grad = x.grad.clone(), None
    net.zero_grad()
    outputs, _ = unroll(net, frames_of(net, net.spec.presentation, x, net.spec.steps))
    (outputs[net.spec.readout_area, net.spec.steps - 1] * weight).sum().backward()
    for n, p in net.named_parameters():
        assert n in planned, f"{n} is unused"
        torch.testing.assert_close(planned[n], p.grad, msg=lambda m, n=n: f"{n}: {m}")
    torch.testing.assert_close(image_grad, x.grad)
