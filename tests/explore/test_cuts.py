"""What is cut is gone, and nothing else: against networks that never had it."""

from __future__ import annotations

import pytest
import torch

import ventralstream as vs
from ventralstream.explore.cuts import cut, cuttable, separable


@torch.no_grad()
def maps(net, images, area, **how):
    return net(images, record=vs.Record(area), readout=None, **how)[area].values


def test_without_recurrence_every_step_is_a_first_step(net, images):
    without = cut(net, ["recurrence", "feedback"])
    shown = maps(without, images, "conv3", presentation=vs.Constant())
    assert (shown[:, 3:] == shown[:, 2:3]).all()  # once it is driven, nothing changes any more
    first = maps(net, images, "conv3", presentation=vs.Constant())
    assert not torch.allclose(first[:, 8], first[:, 7])


@torch.no_grad()
def test_a_cell_that_is_cut_equals_a_stream_in_which_its_state_is_set_back(net, images):
    state, streamed = None, []
    for _ in range(9):
        _, state = net.step(images, state)
        streamed.append(state.outputs["conv4"][0])
        state.cells["conv4"] = tuple(torch.zeros_like(x) for x in state.cells["conv4"])
    shown = maps(cut(net, ["conv4"]), images, "conv4", steps=9, presentation=vs.Constant())
    torch.testing.assert_close(shown, torch.stack(streamed, 1), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_feedback_equals_a_stream_in_which_what_comes_back_is_zeros(net, images):
    state, streamed = None, []
    for _ in range(12):
        _, state = net.step(images, state)
        streamed.append(state.outputs["conv5"][0])
        state.outputs["conv5"] = (torch.zeros_like(streamed[-1]),)  # what conv3 reads of it; biases are zero here
    without = maps(cut(net, ["feedback"]), images, "conv5", steps=12, presentation=vs.Constant())
    torch.testing.assert_close(without, torch.stack(streamed, 1), rtol=1e-4, atol=1e-5)
    intact = maps(net, images, "conv5", steps=12, presentation=vs.Constant())
    assert not torch.allclose(intact[:, -1], without[:, -1])


def test_lateral_connections_are_recurrence():
    net = vs.create_model("rcnn_cifar:cifar10")
    images = torch.randn(2, 3, 32, 32)
    without = cut(net, ["recurrence"])
    kept = maps(net, images, "IT"), maps(without, images, "IT")
    torch.testing.assert_close(kept[0][:, 0], kept[1][:, 0])
    assert not torch.allclose(kept[0][:, 2], kept[1][:, 2])


def test_what_is_there_to_cut_is_said(net):
    assert cuttable(net.spec)[:2] == ["recurrence", "feedback"]
    assert {"conv5-conv3", "conv4-conv5", "conv4"} <= set(cuttable(net.spec))
    for given, sentence in (
        (["conv5-conv2"], "did you mean 'conv5-conv"),
        (["conv2-conv3"], "cannot be run without conv2-conv3: the image never drives area 'conv3'"),
    ):
        with pytest.raises(vs.VentralError, match=sentence):
            cut(net, given)
    plain = vs.create_model("ff_rcnn_deep_cifar", seed=0)
    with pytest.raises(vs.VentralError, match="no cell and no lateral connection to cut"):
        cut(plain, ["recurrence"])


@pytest.mark.parametrize("name", ["rgc_digits", "rcnn_cifar"])
def test_the_live_page_offers_what_can_be_cut_alone(name):
    net = vs.create_model(name)
    offered = separable(net.spec)
    assert "recurrence" in offered
    for part in cuttable(net.spec):
        if part in offered:
            cut(net, [part])
        else:
            with pytest.raises(vs.VentralError, match="never drives"):
                cut(net, [part])
