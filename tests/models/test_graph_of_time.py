"""What follows from the graphs of the published networks."""

from __future__ import annotations

import pytest
import torch
from small_models import small_published

import ventralstream as vs
from ventralstream.models import count_parameters
from ventralstream.models.convrnn import FEEDBACK

PARAMETERS_M = {
    "timedecay_shallow": 4.20, "simplernn_shallow": 6.27, "gru_shallow": 25.43, "lstm_shallow": 21.13,
    "intersectionrnn_shallow": 32.51, "ugrnn_shallow": 18.36, "rgc_shallow": 23.96, "timedecay_intermediate": 16.40,
    "simplernn_intermediate": 33.51, "gru_intermediate": 67.73, "lstm_intermediate": 84.83,
    "intersectionrnn_intermediate": 84.83, "ugrnn_intermediate": 50.62, "ugrnn_intermediate_t30": 50.62,
    "ugrnn_intermediate_t30_dthresh": 50.62, "ugrnn_intermediate_t30_tmaxconf": 50.62, "rgc_intermediate": 15.45,
    "rgc_intermediate_dthresh": 15.45, "rgc_intermediate_tmaxconf": 15.45, "rgc_intermediate_t22_tmaxconf": 15.45,
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS_M)
def test_parameters_of_the_published_table(name: str) -> None:
    assert f"{count_parameters(vs.model_spec(name)) / 1e6:.2f}" == f"{PARAMETERS_M[name]:.2f}"


def test_there_are_no_other_published_convrnns() -> None:
    assert set(vs.list_models(family="convrnn", published=True)) == set(PARAMETERS_M)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("cornet_z", 2_071_656), ("cornet_r", 5_208_936), ("cornet_rt", 5_208_936), ("cornet_s", 53_416_616)],
)
def test_parameters_of_the_cornets(name: str, parameters: int) -> None:
    assert count_parameters(vs.model_spec(name)) == parameters


@torch.no_grad()
def test_logits_before_step_10_do_not_depend_on_the_image_nor_the_last_on_the_blank() -> None:
    net = small_published("rgc_intermediate")
    size = net.spec.input_shape
    a, b = torch.randn(2, 1, *size, dtype=torch.double)
    early = vs.PerStep(start=0)
    first, second = net(a, readout=early).logits, net(b, readout=early).logits
    assert torch.equal(first[:, :10], second[:, :10])
    assert (first[:, 10] != second[:, 10]).all()
    constant = net(a, readout=early, presentation=vs.Constant()).logits
    assert net.spec.presentation == vs.Flash(on=12)
    torch.testing.assert_close(constant, first)
    shorter = net(a, readout=early, presentation=vs.Flash(on=3)).logits
    assert (shorter[:, 16] - first[:, 16]).abs().max() > 1e-6  # a blank that comes early enough does change them


@torch.no_grad()
def test_feedback_does_not_depend_on_the_names_of_areas() -> None:
    """String order would put conv10 before conv8 at conv9, feedback in the place of the feedforward input."""
    net = small_published("rgc_intermediate")
    names = {a.name: f"a{99 - i}" for i, a in enumerate(net.spec.areas)}
    renamed = vs.Network(vs.rename_areas(net.spec, names)).double().eval()
    of = dict(zip(net.state_dict(), renamed.state_dict(), strict=True))
    renamed.load_state_dict({of[k]: v for k, v in net.state_dict().items()})
    x = torch.randn(2, *net.spec.input_shape, dtype=torch.double)
    record = [a.name for a in net.spec.areas]
    out = net(x, record=vs.Record(record))
    other = renamed(x, record=vs.Record([names[a] for a in record]))
    for area in record:
        assert torch.equal(out[area].values, other[names[area]].values)


def test_feedback_goes_where_the_paper_says() -> None:
    spec = vs.model_spec("rgc_intermediate")
    assert {(c.source, c.target) for c in spec.connections if c.kind == "feedback"} == set(FEEDBACK)
    at_conv6 = [c.source for _, c in spec.inputs("conv6")]
    assert at_conv6 == ["conv5", "conv7", "conv9"]


@torch.no_grad()
def test_each_published_network_runs_as_it_was_published() -> None:
    for name in vs.list_models(family="convrnn", published=True):
        spec = vs.model_spec(name)
        shallow = name.endswith("_shallow")
        expected = 22 if "t22" in name else 30 if "t30" in name else 16 if shallow else 17
        assert spec.steps == expected
        assert spec.presentation == (vs.Constant() if expected in (22, 30) else vs.Flash(on=12))
    net = small_published("timedecay_shallow")
    x = torch.randn(1, *net.spec.input_shape, dtype=torch.double)
    out = net(x, presentation=vs.Neural(), record=vs.Record("conv1"))
    assert out["conv1"].steps == tuple(range(26))
    assert torch.equal(out["conv1"].values[0, 9], out["conv1"].values[0, 0])
    assert not torch.equal(out["conv1"].values[0, 10], out["conv1"].values[0, 0])
