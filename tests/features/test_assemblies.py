import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.random_projection import SparseRandomProjection

import ventralstream as vs
from ventralstream.assembly import check
from ventralstream.data.stimuli import Stimuli
from ventralstream.errors import VentralError
from ventralstream.features.assemblies import features, features_from_store
from ventralstream.layers.specs import Act, Conv, GlobalPool, Norm
from ventralstream.models import build
from ventralstream.spec import Area, Connection, NetworkSpec

IDS = [f"s{i}" for i in range(9)]


@pytest.fixture
def net():
    """Two areas of maps and a vector; the image reaches them at steps 0, 1 and 2 of 5."""
    areas = (
        Area("v1", (Conv(4, stride=2), Norm(), Act("relu"))),
        Area("v4", (Conv(6, stride=2), Act("relu"))),
        Area("it", (Conv(5),), output=(GlobalPool(),), window=(2, 5)),
    )
    links = (Connection("image", "v1", delay=0), Connection("v1", "v4"), Connection("v4", "it"))
    spec = NetworkSpec("tiny", areas, links, "it", input_shape=(3, 16, 16), steps=5)
    return build(spec, seed=0).eval()


@pytest.fixture
def images():
    return torch.randn(9, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def activations(net, images, area, reduce="none", steps=5, **options):
    with torch.no_grad():
        return net(images, steps, record=vs.Record(area, reduce=reduce), **options)[area].values.numpy()


def test_features_are_what_areas_do_at_their_steps(net, images):
    found = features(net, images, ["v1", "it"], stimulus_id=IDS, reduce="mean", batch_size=4)
    assert list(found) == ["v1", "it"]
    for area, width, steps in (("v1", 4, range(5)), ("it", 5, range(2, 5))):
        one = check(found[area])
        assert one.shape == (9, width, len(steps)) and one.dtype == np.float32
        np.testing.assert_allclose(
            one.values, activations(net, images, area, "mean").transpose(0, 2, 1), rtol=1e-5, atol=1e-6
        )
        assert one["time_bin_start"].values.tolist() == [10 * t for t in steps]
        assert one["time_bin_end"].values.tolist() == [10 * t + 10 for t in steps]
        assert one["stimulus_id"].values.tolist() == IDS
        assert one["channel"].values.tolist() == list(range(width)) and set(one["area"].values.tolist()) == {area}
    assert found["v1"].attrs["first_step"] == 0 and found["it"].attrs["first_step"] == 2
    assert found["it"].attrs["model"] == "tiny" and found["it"].attrs["preprocessing"] == "none"


def test_times_count_from_stimulus_onset(net, images):
    shown = vs.Flash(2, before=1)
    asked = {"presentation": shown, "steps": 4, "record_steps": [0, 1, 3], "reduce": "mean"}
    found = features(net, images, "v1", stimulus_id=IDS, **asked)["v1"]
    assert found["time_bin_start"].values.tolist() == [-10, 0, 20]
    assert found.attrs["first_step"] == 1
    assert np.ptp(found.values[..., 0], axis=0).max() == 0  # before the image all are alike
    expected = activations(net, images, "v1", "mean", 4, presentation=shown)[:, [0, 1, 3]]
    np.testing.assert_allclose(found.values, expected.transpose(0, 2, 1), rtol=1e-5, atol=1e-6)


def test_units_of_maps_have_their_place(net, images):
    found = features(net, images, "v4", stimulus_id=IDS, reduce="none")["v4"]
    maps = activations(net, images, "v4")  # [image, step, channel, y, x]
    at = found.isel(neuroid=found["channel"].values * 100 + found["y"].values * 10 + found["x"].values == 312)
    np.testing.assert_allclose(at.values[:, 0], maps[:, :, 3, 1, 2], rtol=1e-5, atol=1e-6)
    assert found.sizes["neuroid"] == 6 * 4 * 4
    largest = features(net, images, "v4", stimulus_id=IDS, reduce="max")["v4"]
    np.testing.assert_allclose(largest.values, maps.max((3, 4)).transpose(0, 2, 1), rtol=1e-5, atol=1e-6)


def test_components_are_those_of_the_named_images_over_the_steps_they_drive(net, images):
    named = ["s7", "s1", "s4", "s2"]
    found = features(net, images, ["v1", "v4"], stimulus_id=IDS, reduce="none", pca=3, fit_on=named, batch_size=2)
    for area, first in (("v1", 0), ("v4", 1)):
        maps = activations(net, images, area).reshape(9, 5, -1)
        exact = PCA(3, svd_solver="full").fit(maps[[7, 1, 4, 2], first:].reshape(-1, maps.shape[2]))
        expected = exact.transform(maps.reshape(45, -1)).reshape(9, 5, 3).transpose(0, 2, 1)
        got = found[area].values
        sign = np.sign((got * expected).sum((0, 2)))[:, None]
        np.testing.assert_allclose(got * sign, expected, rtol=1e-3, atol=1e-4)
        assert found[area]["component"].values.tolist() == [0, 1, 2] and "channel" not in found[area].coords
        share = exact.explained_variance_ratio_.sum()
        assert found[area].attrs["pca_variance_explained"] == pytest.approx(share, abs=1e-5)
        assert found[area].attrs["pca"] == 3 and found[area].attrs["pca_images"] == 4


def test_components_of_other_stimuli(net, images):
    others = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    found = features(net, images, "v1", stimulus_id=IDS, pca=2, fit_on=others)["v1"]
    both = features(
        net, torch.cat([images, others]), "v1", stimulus_id=[*IDS, *"abcdef"], pca=2, fit_on=list("abcdef")
    )["v1"]
    np.testing.assert_allclose(found.values, both.values[:9], rtol=1e-4, atol=1e-5)


def test_projection_is_sparse_random_and_seeded(net, images):
    found = features(net, images, "v4", stimulus_id=IDS, reduce="none", projection=7, seed=3)["v4"]
    maps = activations(net, images, "v4").reshape(45, -1)
    expected = SparseRandomProjection(7, random_state=3, dense_output=True).fit_transform(maps)
    np.testing.assert_allclose(found.values, expected.reshape(9, 5, 7).transpose(0, 2, 1), rtol=1e-4, atol=1e-5)
    assert found.attrs["projection"] == 7 and found.attrs["seed"] == 3
    again, other = (features(net, images, "v4", stimulus_id=IDS, reduce="none", projection=7, seed=s) for s in (3, 4))
    np.testing.assert_array_equal(again["v4"].values, found.values)
    assert not np.allclose(other["v4"].values, found.values)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images", Stimuli(tuple(f"{i}.png" for i in range(5)), pixels)


def test_folders_stimuli_and_tensors_give_the_same(net, folder):
    path, stimuli = folder
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (net.spec.mean, net.spec.std))
    tensors = (torch.from_numpy(stimuli.pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    by_hand = features(net, tensors, "v4", stimulus_id=stimuli.ids)["v4"]
    for source in (path, str(path), stimuli):
        found = features(net, source, "v4", batch_size=2)["v4"]
        assert found["stimulus_id"].values.tolist() == list(stimuli.ids)
        np.testing.assert_allclose(found.values, by_hand.values, rtol=1e-4, atol=1e-5)
    grey = Stimuli(("a",), stimuli.pixels[:1, ..., 0])
    thrice = Stimuli(("a",), stimuli.pixels[:1, ..., :1].repeat(3, -1))
    one, other = (features(net, s, "v4")["v4"].values for s in (grey, thrice))
    np.testing.assert_array_equal(one, other)


def test_a_store_gives_the_same_as_the_model(net, folder, tmp_path):
    path, stimuli = folder
    store = tmp_path / "f.zarr"
    vs.extract(net, path, vs.Record(["v4", "it"]), store, progress=False)
    for options in ({}, {"pca": 3, "fit_on": ["4.png", "1.png"]}, {"projection": 4, "seed": 1}):
        one = features(net, stimuli, ["v4", "it"], reduce="none", **options)
        other = features_from_store(store, ["v4", "it"], batch_size=2, **options)
        for area in one:
            np.testing.assert_allclose(other[area].values, one[area].values, rtol=1e-3, atol=1e-4)
            assert {n: c.values.tolist() for n, c in other[area].coords.items()} == {
                n: c.values.tolist() for n, c in one[area].coords.items()
            }
            assert other[area].attrs.keys() == one[area].attrs.keys()
            assert other[area].attrs["weights_sha256"] == one[area].attrs["weights_sha256"]
    mean = features_from_store(store, "v4", reduce="mean")["v4"]
    np.testing.assert_allclose(
        mean.values, features(net, stimuli, "v4", reduce="mean")["v4"].values, rtol=1e-4, atol=1e-5
    )
    assert mean.attrs["reduce"] == "mean"
    same = features_from_store(store, "v4", pca=3, fit_on=store)["v4"]
    all_ = features_from_store(store, "v4", pca=3, fit_on=stimuli.ids)["v4"]
    np.testing.assert_array_equal(same.values, all_.values)
    for options, message in (
        ({"areas": "it", "reduce": "mean"}, "holds no maps of area 'it'"),
        ({"areas": "v5"}, "unknown area 'v5'"),
        ({"areas": "v4", "pca": 2, "fit_on": ["9.png"]}, "unknown stimulus '9.png'"),
    ):
        with pytest.raises(VentralError, match=message):
            features_from_store(store, **options)


def test_a_mask_is_shown_with_its_image(net, images):
    shown = vs.Masked(2, 1)
    stimuli = {"image": images, "mask": images.flip(0)}
    found = features(net, stimuli, "v1", stimulus_id=IDS, presentation=shown, reduce="mean")["v1"]
    expected = activations(net, stimuli, "v1", "mean", presentation=shown)
    np.testing.assert_allclose(found.values, expected.transpose(0, 2, 1), rtol=1e-5, atol=1e-6)


def test_a_model_in_training_is_left_so(net, images):
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    found = features(net, images, "v1", stimulus_id=IDS)["v1"]
    assert net.training and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    np.testing.assert_array_equal(found.values, features(net.eval(), images, "v1", stimulus_id=IDS)["v1"].values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"areas": "v2"}, "unknown area 'v2'"),
        ({"stimulus_id": None}, "images given as tensors need their stimulus_id"),
        ({"stimulus_id": ["a"] * 9}, "9 images need as many different stimulus ids; got 1"),
        ({"record_steps": [7]}, "step 7, which does not exist"),
        ({"record_steps": []}, "at least one step"),
        ({"reduce": "flat"}, "unknown reduce 'flat'"),
        ({"pca": 2}, "pca needs fit_on"),
        ({"fit_on": ["s1"]}, "there is no pca"),
        ({"pca": 2, "projection": 2}, "give one of the two"),
        ({"pca": 2, "fit_on": ["s99"]}, "unknown stimulus 's99'; did you mean"),
        ({"pca": 5, "fit_on": ["s1", "s2"]}, "pca=5 is more than the 4 features of area 'v1'"),
        ({"pca": 4, "fit_on": ["s1"], "record_steps": [1, 2]}, r"pca=4 needs as many rows .* there are 2 of area 'v1'"),
        ({"areas": "v4", "pca": 4, "fit_on": ["s1"], "record_steps": [0]}, r"there are 0 of area 'v4'"),
        ({"projection": 5}, "projection=5 of area 'v1' with 4 features; expected 1 to 4"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_cannot_be_is_said(net, images, options, message):
    with pytest.raises(VentralError, match=message):
        features(net, images, **{"areas": "v1", "stimulus_id": IDS, "reduce": "mean", **options})


def test_an_unreadable_file_is_said(net, folder):
    path, _ = folder
    (path / "2.png").write_bytes(b"no picture")
    with pytest.raises(VentralError, match=r"2.png.*leave it out"):
        features(net, path, "v1", batch_size=2)
