"""Stimuli of any kind: each gives the same numbers, or a sentence."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_features import pictures, tiny
from torch.utils.data import DataLoader, TensorDataset

import ventralstream as vs
from ventralstream.brain import Stimuli, features
from ventralstream.data import Preprocessing, read_batches
from ventralstream.errors import VentralError
from ventralstream.features.shown import shown

IDS = list("abcdefg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("data") / "images", 7)


@pytest.fixture(scope="module")
def files(folder):
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def normalised(folder, files):
    names = [f.name for f in files]
    return next(read_batches(folder, names, 7, Preprocessing(16, resize="squash"))).images


@pytest.fixture(scope="module")
def expected(folder):
    return features(tiny(), folder, "it", batch_size=7)["it"].values


def loader(images, **options):
    return DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=3, **options)


KINDS = {
    "folder": lambda folder, files, x: (str(folder), None),
    "paths": lambda folder, files, x: (files, None),
    "names of files": lambda folder, files, x: ([str(f) for f in files], None),
    "pictures": lambda folder, files, x: ([Image.open(f) for f in files], IDS),
    "transparent pictures": lambda folder, files, x: ([Image.open(f).convert("RGBA") for f in files], IDS),
    "pixels": lambda folder, files, x: (np.stack([np.asarray(Image.open(f)) for f in files]), IDS),
    "list of pixels": lambda folder, files, x: ([np.asarray(Image.open(f)) for f in files], IDS),
    "Stimuli": lambda f, files, x: (Stimuli(tuple(IDS), np.stack([np.asarray(Image.open(f)) for f in files])), None),
    "tensor": lambda folder, files, x: (x, IDS),
    "double tensor": lambda folder, files, x: (x.double(), IDS),
    "array": lambda folder, files, x: (x.numpy(), np.array(IDS)),
    "list of tensors": lambda folder, files, x: (list(x), IDS),
    "list of arrays": lambda folder, files, x: (list(x.numpy()), IDS),
    "by name": lambda folder, files, x: ({"image": x}, IDS),
    "DataLoader": lambda folder, files, x: (loader(x), IDS),
    "generator": lambda folder, files, x: ((x[i : i + 2].numpy() for i in range(0, 7, 2)), IDS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_give_the_same(folder, files, normalised, expected, tmp_path, kind):
    images, ids = KINDS[kind](folder, files, normalised)
    found = features(tiny(), images, "it", stimulus_id=ids, batch_size=4)["it"]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
    names = {"folder": [f.name for f in files], "paths": [str(f) for f in files], "names of files": [*map(str, files)]}
    assert found["stimulus_id"].values.tolist() == names.get(kind, IDS)

    images, ids = KINDS[kind](folder, files, normalised)
    vs.extract(tiny(), images, vs.Record("it"), tmp_path / "f.zarr", stimulus_id=ids, batch_size=4, progress=False)
    stored = vs.open_features(tmp_path / "f.zarr", "it")
    np.testing.assert_array_equal(stored.values.transpose(0, 2, 1), found.values)


@pytest.mark.parametrize("kind", ["paths", "pictures", "pixels", "tensor", "DataLoader"])
def test_components_are_fitted_on_some_of_any_kind(folder, files, normalised, kind):
    images, ids = KINDS[kind](folder, files, normalised)
    named = [(ids or [str(f) for f in files])[i] for i in (0, 2, 3, 6)]
    found = features(tiny(), images, "it", stimulus_id=ids, pca=2, fit_on=named)["it"]
    expected = features(tiny(), normalised, "it", stimulus_id=IDS, pca=2, fit_on=list("acdg"))["it"]
    sign = np.sign((found.values * expected.values).sum((0, 2)))[:, None]
    np.testing.assert_allclose(found.values * sign, expected.values, rtol=1e-3, atol=1e-4)
    assert found.attrs["pca_images"] == 4


def test_an_extraction_from_a_loader_carries_on(normalised, tmp_path):
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    net, record = tiny(), vs.Record("it")
    hook = net.register_forward_pre_hook(interrupt)
    options = {"stimulus_id": IDS, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        vs.extract(net, loader(normalised), record, tmp_path / "f.zarr", **options)
    hook.remove()
    with pytest.raises(VentralError, match="other batches than before, where 6 ended one"):
        vs.extract(net, DataLoader(normalised, batch_size=4), record, tmp_path / "f.zarr", **options)
    vs.extract(net, loader(normalised), record, tmp_path / "f.zarr", **options)
    vs.extract(net, loader(normalised), record, tmp_path / "g.zarr", **options)
    one, other = (vs.open_features(tmp_path / name, "it").values for name in ("f.zarr", "g.zarr"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("images", "ids", "message"),
    [
        ([], None, "there are no stimuli"),
        (5, IDS, "stimuli are Stimuli, a folder, .* got int"),
        (None, IDS, "got NoneType"),
        (b"bytes", IDS, "got bytes"),
        (torch.tensor(1.0), IDS, "got Tensor"),
        ("nowhere", None, "'nowhere' does not exist"),
        (torch.zeros(7, 3, 16, 16), None, "need their stimulus_id"),
        (torch.zeros(7, 3, 16, 16), IDS[:6], "7 images need as many different stimulus ids; got 6"),
        (torch.zeros(2, 3, 16, 16), ["a", "a"], "2 images need as many different stimulus ids; got 1"),
        (torch.zeros(3, 3, 16, 16), ["a", None, float("nan")], "2 of 3 stimulus ids are missing"),
        (torch.zeros(7, 3, 16, 16, dtype=torch.uint8), IDS, "the image is torch.uint8"),
        (np.zeros((7, 3, 16, 16), dtype=int), IDS, "stimuli are uint8"),
        ([torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)], ["a", "b"], "of one size; these differ"),
        ({"image": [1]}, ["a"], "by name are arrays"),
        ({}, None, "there are no stimuli"),
        ([None], ["a"], "a batch of images is .* got NoneType"),
        (iter([torch.zeros(3, 3, 16, 16)]), IDS, "7 stimulus ids, but 3 images came"),
        (iter([torch.zeros(9, 3, 16, 16)]), IDS, "7 stimulus ids, but more images came"),
        (iter([torch.zeros(9, 3, 16, 16)]), None, "given in batches need their stimulus_id"),
        (loader(torch.zeros(7, 3, 16, 16), shuffle=True), IDS, "the DataLoader shuffles"),
    ],
)
def test_what_cannot_be_shown_is_said(images, ids, message):
    with pytest.raises(VentralError, match=message):
        features(tiny(), images, "it", stimulus_id=ids)


def test_a_generator_is_gone_through_once(normalised):
    images = (normalised[i : i + 2] for i in range(0, 7, 2))
    with pytest.raises(VentralError, match="gives its images once"):
        features(tiny(), images, "it", stimulus_id=IDS, pca=2, fit_on=["a", "c"])


def test_ids_and_sizes_are_asked_for_where_they_belong(folder, normalised):
    with pytest.raises(VentralError, match="files and Stimuli have ids of their own"):
        shown(tiny(), folder, IDS)
    with pytest.raises(VentralError, match="normalised images are shown as they are"):
        shown(tiny(), normalised, IDS, size=8)
    assert '"size": 8' in shown(tiny(), folder, size=np.int64(8)).preprocessing
