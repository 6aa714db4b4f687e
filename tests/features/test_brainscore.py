"""What a model commits to; the rest of the plugin needs Brain-Score's package, see the last tests."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
import xarray
from small_features import pictures, tiny

import ventralstream as vs
from ventralstream.assembly import assembly
from ventralstream.brain.mapping.alignment import align_time
from ventralstream.data import Preprocessing, read_batches
from ventralstream.errors import VentralError
from ventralstream.features.commitment import commit, regions_of_sites, step_weights
from ventralstream.models import list_models, model_entry

INSTALLED = importlib.util.find_spec("brainscore_vision") is not None


def test_bins_of_whole_steps_are_means_over_them() -> None:
    weights = step_weights([(70, 80), (70, 170)], range(17), 10.0)
    assert weights.shape == (2, 17)
    assert np.array_equal(np.flatnonzero(weights[0]), [7])
    assert np.allclose(weights[1, 7:], 0.1) and not weights[1, :7].any()


def test_a_step_counts_for_the_part_of_it_that_is_in_the_bin() -> None:
    assert np.allclose(step_weights([(15, 30)], range(3), 10.0), [[0, 1 / 3, 2 / 3]])
    assert np.allclose(step_weights([(60, 70)], range(4), 25.0), [[0, 0, 1, 0]])  # steps longer than the bin
    assert np.allclose(step_weights([(70, 80)], range(4), 25.0), [[0, 0, 0.5, 0.5]])


def test_steps_begin_when_they_are_said_to() -> None:
    later = step_weights([(70, 80)], range(10), 10.0, start_ms=50.0)  # a delay
    assert np.flatnonzero(later).tolist() == [2]
    earlier = step_weights([(0, 10)], range(10), 10.0, start_ms=-30.0)  # three steps before the image
    assert np.flatnonzero(earlier).tolist() == [3]
    there_from_2 = step_weights([(30, 40)], range(2, 6), 10.0)  # an area that exists from step 2 on
    assert there_from_2.tolist() == [[0, 1, 0, 0]]


def test_rounded_times_are_the_steps_meant() -> None:
    weights = step_weights([(0.1 + 0.2, 0.6)], range(9), 0.1)
    assert np.flatnonzero(weights).tolist() == [3, 4, 5]


def test_weights_equal_align_time_where_bins_are_steps() -> None:
    random = np.random.default_rng(0)
    steps = [(10.0 * t, 10.0 * (t + 1)) for t in range(12)]
    bins = [(20.0, 30.0), (30.0, 60.0), (60.0, 120.0)]
    features = assembly(random.normal(size=(3, 4, 12)), stimulus_id=list("abc"), time_bins_ms=steps)
    recordings = assembly(np.zeros((3, 1, 3)), stimulus_id=list("abc"), time_bins_ms=bins)
    ours = np.einsum("pnt,kt->pnk", features.values, step_weights(bins, range(12), 10.0))
    assert np.allclose(ours, align_time(features, recordings).values)


@pytest.mark.parametrize(
    ("bins", "steps", "said"),
    [
        ([(70, 80), (160, 170)], range(16), "time bin 160 to 170 ms.* area 'IT' last from 0 to 160 ms"),
        ([(70, 170)], range(16), "no step for all of the time bin 70 to 170 ms"),  # the last 10 ms are missing
        ([(-10, 10)], range(16), "-10 to 10 ms"),
        ([(10, 20)], range(3, 9), "last from 30 to 90 ms"),
        ([(80, 70)], range(16), "a later end"),
        ([(70, 70)], range(16), "a later end"),
        ([(70,)], range(16), "a later end"),
        ([], range(16), "no time bins"),
    ],
)
def test_bins_without_steps_are_errors(bins: list[tuple[float, ...]], steps: range, said: str) -> None:
    with pytest.raises(VentralError, match=said):
        step_weights(bins, steps, 10.0, area="IT")  # type: ignore[arg-type]


def test_parts_of_it_are_it_too() -> None:
    sites = {"conv5": "V4", "conv6": "V4", "conv7": "pIT", "conv9": "cIT/aIT"}
    assert regions_of_sites(sites) == {
        "V4": ("conv5", "conv6"),
        "pIT": ("conv7",),
        "cIT/aIT": ("conv9",),
        "IT": ("conv7", "conv9"),
    }
    assert regions_of_sites({"V4": "V4", "IT": "IT"}) == {"V4": ("V4",), "IT": ("IT",)}


@pytest.mark.parametrize("name", [n for n in list_models() if getattr(model_entry(n).published, "sites", None)])
def test_published_sites_are_areas_and_reach_it(name: str) -> None:
    entry = model_entry(name)
    assert entry.published is not None
    regions = commit(regions_of_sites(entry.published.sites), (a.name for a in entry.make().areas))
    assert {"V4", "IT"} <= set(regions)


def test_regions_take_one_area_or_several() -> None:
    assert commit({"V4": "a", "IT": ["b", "c"]}, "abc") == {"V4": ("a",), "IT": ("b", "c")}


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ({}, "at least one region"),
        ({"IT": []}, "region 'IT' has no area"),
        ({"IT": "conv6"}, "unknown area 'conv6' for region 'IT'; did you mean 'conv5'"),
        ({"IT": ["conv5", "conv5"]}, "twice"),
    ],
)
def test_bad_regions(regions: dict[str, str | list[str]], said: str) -> None:
    with pytest.raises(VentralError, match=said):
        commit(regions, ["conv4", "conv5"])


@pytest.mark.skipif(INSTALLED, reason="brainscore_vision is installed here")
def test_without_the_package_the_import_says_what_to_do() -> None:
    with pytest.raises(ModuleNotFoundError, match="pip install brainscore-vision") as caught:
        importlib.import_module("ventralstream.brainscore")
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.skipif(
    not INSTALLED,
    reason="brainscore_vision is not installed (it pins numpy < 2); scripts/check_brainscore.sh tests the rest",
)
def test_it_is_a_brain_model() -> None:
    from brainscore_vision.model_interface import BrainModel  # type: ignore[import-not-found]

    import ventralstream as vs
    from ventralstream.brainscore import VentralBrainModel

    net = vs.create_model("rgc_shallow_cifar", seed=0)
    assert isinstance(VentralBrainModel(net, regions={"IT": "conv5"}), BrainModel)
    with pytest.raises(VentralError, match="nobody has published"):
        VentralBrainModel(net)


class _Assembly(xarray.DataArray):
    """In the place of Brain-Score's assemblies, so that what the plugin computes is tested without its package."""

    __slots__ = ()


class _StimulusSet(dict):
    columns = ("stimulus_id", "image_label")

    def __init__(self, files, labels):
        super().__init__(stimulus_id=[f.name for f in files], image_label=labels)
        self.files = {f.name: f for f in files}

    def get_stimulus(self, stimulus_id):
        return self.files[stimulus_id]


@pytest.fixture
def plugin(monkeypatch):
    """The plugin with stand-ins for what it imports of Brain-Score."""
    task = types.SimpleNamespace(label="label", probabilities="probabilities", passive="passive")
    contents = {
        "brainscore_core.supported_data_standards.brainio.assemblies": {
            "BehavioralAssembly": _Assembly,
            "NeuroidAssembly": _Assembly,
        },
        "brainscore_vision.model_interface": {"BrainModel": type("BrainModel", (), {"Task": task})},
    }
    for name, values in contents.items():
        for i in range(1, len(parts := name.split(".")) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        vars(sys.modules[name]).update(values)
    monkeypatch.delitem(sys.modules, "ventralstream.brainscore", raising=False)
    yield importlib.import_module("ventralstream.brainscore")
    sys.modules.pop("ventralstream.brainscore", None)


def test_what_it_records_and_answers_is_what_the_network_does(plugin, tmp_path) -> None:
    files = sorted(pictures(tmp_path / "images", 5).iterdir())
    shown = _StimulusSet([*files, files[1]], list("ababab"))  # one image twice
    net = tiny(window=(2, 4)).train()
    names = ["a", "b", "a", "c", "b"]
    model = plugin.VentralBrainModel(net, regions={"IT": ["v1", "it"]}, class_names=names, batch_size=2)
    images = next(read_batches(tmp_path / "images", [f.name for f in files], 5, Preprocessing(16, resize="squash")))
    net.eval()
    with torch.no_grad():
        out = net(images.images, 4, record=vs.Record(["v1", "it"], steps=[2, 3], reduce="flatten"), readout=vs.Last())
    net.train()

    model.start_recording("IT", [(20, 30), (20, 40)])
    found = model.look_at(shown)
    both = np.concatenate([out[area].values.numpy() for area in ("v1", "it")], 2)[[0, 1, 2, 3, 4, 1]]
    np.testing.assert_allclose(found.values[..., 0], both[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.values[..., 1], both.mean(1), rtol=1e-4, atol=1e-5)
    assert found["layer"].values.tolist() == ["v1"] * 256 + ["it"] * 5
    assert found["stimulus_id"].values.tolist() == [*(f.name for f in files), files[1].name]

    model.start_task("label", ["a", "b"], aggregation="max")
    p = out.output.softmax(-1).numpy()
    expected = np.where(p[:, [0, 2]].max(1) >= p[:, [1, 4]].max(1), "a", "b")[[0, 1, 2, 3, 4, 1]]
    assert model.look_at(shown).values[0].tolist() == expected.tolist()
    model.start_task("probabilities", shown)
    answers = model.look_at(files)
    assert answers.dims == ("presentation", "choice") and np.allclose(answers.values.sum(1), 1)
    assert net.training
    with pytest.raises(VentralError, match="no step for all of the time bin 30 to 50 ms"):
        model.start_recording("IT", [(30, 50)])
