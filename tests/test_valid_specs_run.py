"""Every spec that can be made runs: in training and in evaluation, forward and backward, at its size and at another."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from random_networks import any_networks

import ventralstream as vs
from ventralstream.models import build


def run(net: vs.Network, height: int, width: int, train: bool) -> None:
    images = torch.randn(2, 2, height, width)
    out = net.train(train)(images, readout=vs.PerStep(0), return_state=True)
    assert out.output.shape == (2, 2)
    if out.output.requires_grad:
        out.logits.sum().backward()


def check_runs(spec: vs.NetworkSpec, other: tuple[int, int] = (6, 3)) -> None:
    """Runs a network; only another size than its own may be refused."""
    net = build(spec, seed=0)
    for train in (True, False):
        run(net, *spec.input_shape[1:], train)
        try:
            run(net, *other, train)
        except vs.VentralError as error:
            assert "\n" not in str(error)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(st.data())
def test_every_spec_that_can_be_made_runs(data: st.DataObject) -> None:
    try:
        spec = data.draw(any_networks())
        vs.first_steps(spec)
        build(spec, seed=0)
    except vs.VentralError as error:
        assert "\n" not in str(error)
        assume(False)
    check_runs(spec)
