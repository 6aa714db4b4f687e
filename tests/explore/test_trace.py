"""A trace holds what the network does: every number of it against a plain run of the network."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

import ventralstream as vs
from ventralstream.explore.measures import sparseness
from ventralstream.explore.trace import MOST_BYTES, Trace, trace
from ventralstream.presentation import Masked


@pytest.fixture(scope="module")
def out(net, images):
    with torch.no_grad():
        return net(images, readout=vs.PerStep(start=0), record=vs.Record([a.name for a in net.spec.areas]))


def restored(made, place):
    levels = made.array(place).astype(float)
    low, high = np.array(place["low"]), np.array(place["high"])
    if len(low) > 1:
        shape = [1] * levels.ndim
        shape[2] = len(low)
        low, high = low.reshape(shape), high.reshape(shape)
    return low + levels / 255 * (high - low), float(np.max(high - low)) / 255


def test_maps_channels_and_pictures_are_the_network_s(traces, out):
    for area in traces[0].header["areas"]:
        values = out[area["name"]].values.float()
        means = values if values.dim() == 3 else values.mean((3, 4))
        found, level = restored(traces[0], area["channels"])
        assert np.abs(found - means.numpy()).max() <= level * 0.51 + 1e-4
        np.testing.assert_allclose(area["mean"], means.mean(2), rtol=1e-4, atol=1e-6)
        if "maps" in area:
            kept, _ = restored(traces[0], area["maps"])
            whole = values[:, :, area["maps"]["kept"]].numpy()
            span = np.ptp(whole, axis=(0, 1, 3, 4)).reshape(1, 1, -1, 1, 1)
            assert (np.abs(kept - whole) <= 0.52 * span / 255 + 2e-3 * np.abs(whole) + 1e-5).all()
            pictures, level = restored(traces[0], area["picture"])
            assert np.abs(pictures - values.mean(2).numpy()).max() <= level * 0.52 + 1e-4


def test_the_change_is_the_length_of_the_difference_in_units_of_the_larger(traces, out):
    area = traces[0].header["areas"][2]
    x = out[area["name"]].values[1].flatten(1)
    expected = [float((b - a).norm() / max(a.norm(), b.norm(), 1e-30)) for a, b in itertools.pairwise(x)]
    assert area["change"][1][0] is None
    np.testing.assert_allclose(area["change"][1][1:], expected, rtol=1e-4)


def test_answers_and_decisions_are_the_network_s(net, images, traces, out):
    answer = traces[0].header["answer"]
    p = out.logits.softmax(-1)
    np.testing.assert_allclose(answer["probabilities"], p, rtol=1e-4, atol=1e-9)
    assert answer["top"] == p.argmax(-1).tolist()
    assert answer["first_step"] == net.first_steps["decoder"] == 5
    decision = net.decide(images, 0.9)
    assert answer["decided"] == decision.step.tolist()
    assert answer["confident"] == decision.confident.int().tolist()


def test_the_graph_says_when_signals_arrive(net, traces):
    areas = {a["name"]: a for a in traces[0].header["areas"]}
    for name, first in net.first_steps.items():
        assert areas[name]["driven"].index(1) == first == areas[name]["first_step"]
    assert areas["conv1"]["driven"] == [1] * 8 + [0] * 8  # the image is on for 8 steps, and conv1 remembers nothing
    assert areas["conv3"]["driven"][2:] == [1] * 14  # its cell does
    assert areas["conv1"]["same"] == [0] + [1] * 7 + [0] + [1] * 7
    back = next(c for c in traces[0].header["connections"] if c["kind"] == "feedback")
    assert back["carries"] == [1] * 5 + [2] * 11
    assert [areas[n]["place"][0] for n in net.first_steps] == [1, 2, 3, 4, 5, 6]


def test_an_area_before_its_window_and_a_cut_connection_carry_nothing(traces):
    net = vs.create_model("cornet_s_cifar", seed=0).eval()
    made = trace(net, torch.randn(1, *net.spec.input_shape))
    it = next(a for a in made.header["areas"] if a["name"] == "IT")
    assert 0 in it["exists"] and 1 in it["exists"]
    assert [v is None for v in it["mean"][0]] == [not e for e in it["exists"]]
    cut = next(c for c in traces[1].header["connections"] if c["kind"] == "feedback")
    assert cut["cut"] and set(cut["carries"]) == {0}


def test_masks_and_blanks_are_what_was_shown(net, images):
    mask = torch.full_like(images, 2.0)
    made = trace(net, {"image": images, "mask": mask}, 8, presentation=Masked(2, 3, 1, blank=0.0))
    shown = [(s["shows"], s["start"], s["stop"]) for s in made.header["segments"]]
    assert shown == [("image", 0, 2), ("blank", 2, 3), ("mask", 3, 6), ("blank", 6, 8)]
    mean, std = net.spec.mean[0], net.spec.std[0]
    assert made.header["segments"][1]["colour"] == [round(255 * mean)] * 3
    assert set(made.array(made.header["images"]["mask"]).ravel()) == {round(255 * (mean + 2 * std))}


def test_it_is_packed_and_unpacked_exactly(traces):
    again = Trace.unpack(traces[0].packed())
    assert again.block == traces[0].block and again.header == json.loads(json.dumps(traces[0].header))
    for damaged in (b"", b"{}", b"[]\n", traces[0].packed()[:-9], b"{}\n" + traces[0].packed()):
        with pytest.raises(vs.VentralError, match="no trace"):
            Trace.unpack(damaged)


def test_a_block_stays_in_its_budget(net):
    many = torch.randn(20, 1, 32, 32)
    made = trace(net, many, most_bytes=400_000)
    assert len(made.block) <= 400_000 < MOST_BYTES
    assert all(len(a["maps"]["kept"]) >= 1 for a in made.header["areas"] if "maps" in a)


def test_selectivity_is_the_lifetime_sparseness():
    rates = np.zeros((4, 1, 3), np.float32)
    rates[0, 0, 0], rates[:, 0, 1] = 2.0, 5.0
    found = sparseness(rates)
    assert found[0] == pytest.approx(1) and found[1] == pytest.approx(0) and np.isnan(found[2])
    assert np.isnan(sparseness(rates[:2])).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 201}, "at most 200"),
        ({"presentation": vs.Movie()}, "a movie has no image to choose"),
        ({"names": ["one"]}, "3 images need as many names"),
        ({"class_names": ["a"]}, "has 10 classes; got 1"),
        ({"stimulus": torch.zeros(1, 32, 32)}, "normalised images"),
    ],
)
def test_what_cannot_be_traced_is_one_sentence(net, images, given, sentence):
    with pytest.raises(vs.VentralError, match=sentence):
        trace(net, given.pop("stimulus", images), **given)
