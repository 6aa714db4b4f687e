"""What an unroll gives: found by area, short to look at, a tree of tensors to torch."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.utils import _pytree as pytree

import ventralstream as vs
from ventralstream.summary import Summary, span


@pytest.fixture(scope="module")
def net():
    return vs.create_model("rgc_shallow_cifar", seed=0).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def out(net, images):
    records = vs.Record(["conv1", "conv3"], reduce="mean"), vs.Record("conv5", [5, 7], of="state")
    with torch.no_grad():
        return net(images, record=records, return_state=True)


def test_recorded_areas_are_found_like_a_dictionarys(net, images, out) -> None:
    assert "conv3" in out and "conv4" not in out and 3 not in out
    assert list(out) == out.keys() == ["conv1", "conv3", "conv5"]
    assert dict(out)["conv3"] is {**out}["conv3"] is out["conv3"]
    assert "conv3" not in net(images)


def test_unpacking_an_output_is_one_sentence(net, images) -> None:
    with pytest.raises(vs.VentralError, match=r"no tuple to unpack.*out.output, out.logits or out.state"):
        _output, _state = net(images, return_state=True)


def test_what_is_printed_is_short_and_tells_what_one_wants_to_know(net, images, out) -> None:
    text = repr(net)
    assert len(text) < 600 and len(text.splitlines()) == 7
    assert "'rgc_shallow_cifar': 10 steps of 10 ms, images [3, 32, 32], 2,195,978 parameters" in text
    assert "conv3    [64, 4, 4]    reciprocal cell  from conv2" in text
    text = repr(out)
    assert len(text) < 700
    assert "output" in text and "[3, 10]" in text and "step 9 (90 ms)" in text and "after 10 steps" in text
    assert ".recordings[1]['conv5']" in text and "state at steps 5, 7 (50 to 70 ms), driven from step 4" in text
    expected = "Recording of 'conv3': [3, 10, 64], mean of output at steps 0 to 9 (0 to 90 ms), driven from step 2"
    assert repr(out["conv3"]) == expected
    text = repr(out.state)
    assert text.startswith("NetworkState after 10 steps, batch of 3") and "conv3, conv4, conv5" in text
    text = repr(net.decide(images, 1.0))
    assert text.startswith("Decision for 3 images among 10 classes") and "0 of 3 images" in text
    assert "Output" in repr(net(images, readout=None, record=vs.Record("conv1")))
    with torch.device("meta"):
        unmade = vs.Network(net.spec)
    assert repr(unmade) == repr(net)


def test_large_networks_are_cut(net) -> None:
    assert len(repr(vs.create_model("resnet34", seed=0))) < 2500


def test_notebooks_show_a_table_with_names_escaped(net, out) -> None:
    for shown in (net, out, out["conv3"], out.state):
        html = shown._repr_html_()
        assert html.startswith("<div>") and html.count("<td>") == html.count("</td>")
    spec = net.spec.replace(name="<script>\n\x1b[31m&")
    html, text = (f(vs.Network(spec)) for f in (vs.Network._repr_html_, repr))
    assert "<script>" not in html and "&lt;script&gt;" in html and "\n" not in html
    assert "\x1b" not in text and len(text.splitlines()) == 7


def test_steps_in_words() -> None:
    assert span((5,), (50.0,)) == "step 5 (50 ms)"
    assert span((2, 3, 4), (25.0, 37.5, 50.0)) == "steps 2 to 4 (25 to 50 ms)"
    assert span(tuple(range(0, 40, 2)), tuple(10.0 * t for t in range(0, 40, 2))).count(",") == 8
    assert span((), ()) == "no steps"


def test_results_are_trees_of_their_tensors(net, images, out) -> None:
    for tree in (out, out["conv3"], out.state, net.decide(images)):
        leaves, spec = pytree.tree_flatten(tree)
        assert leaves and all(isinstance(x, torch.Tensor) for x in leaves)
        again = pytree.tree_unflatten(leaves, spec)
        assert type(again) is type(tree) and repr(again) == repr(tree)
        restored = pytree.treespec_loads(pytree.treespec_dumps(spec))
        assert repr(pytree.tree_unflatten(leaves, restored)) == repr(tree)
    doubled = pytree.tree_map(lambda x: 2 * x, out)
    assert torch.equal(doubled["conv3"].values, 2 * out["conv3"].values) and doubled.steps == out.steps
    assert torch.equal(doubled.state.cells["conv4"][0], 2 * out.state.cells["conv4"][0])
    nothing = net(images, readout=None, record=vs.Record("conv1"))
    assert len(pytree.tree_leaves(nothing)) == 1 and pytree.tree_map(lambda x: x, nothing).output is None
    paths = [pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(out.state)[0]]
    assert ".cells['conv3'][0]" in paths
    each = torch.func.vmap(lambda x: net(x[None]))(images)
    torch.testing.assert_close(each.output[:, 0], net(images).output)


def test_results_are_compared_as_the_things_they_are(net, images, out) -> None:
    """Their tensors have no one truth value."""
    for result in (out, out["conv3"], out.state, net.decide(images)):
        assert result == result and result in {result} and result != pickle.loads(pickle.dumps(result))


def test_results_are_pickled(out) -> None:
    again = pickle.loads(pickle.dumps(out))
    assert repr(again) == repr(out) and torch.equal(again["conv3"].values, out["conv3"].values)


def test_every_result_prints_itself_as_a_summary() -> None:
    assert all(issubclass(cls, Summary) for cls in (vs.Output, vs.Decision, vs.NetworkState, vs.Recording, vs.Network))
