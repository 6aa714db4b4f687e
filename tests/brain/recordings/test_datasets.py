"""The sets in VENTRALSTREAM_DATA: what its README says of them, and what their docstrings say."""

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

from ventralstream.assembly import check, time_bins, time_bins_of
from ventralstream.brain.recordings.datasets import (
    human_occlusion,
    human_occlusion_images,
    human_speed_accuracy,
    kriegeskorte92,
    macaque_it,
    macaque_v4,
    macaque_v4_images,
    macaque_v4_sessions,
)
from ventralstream.brain.recordings.datasets.files import read_mat, read_npy, read_table
from ventralstream.brain.recordings.presentations import mean_repetitions, rebin, select, usable
from ventralstream.errors import VentralError


@pytest.fixture(scope="module")
def root():
    path = os.environ.get("VENTRALSTREAM_DATA")
    if not path:
        pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
    return Path(path)


@pytest.mark.parametrize(("session", "neurons", "images"), [("201025", 89, 1200), ("210225", 55, 1200)])
def test_v4_sessions_of_means(root, session, neurons, images):
    v4 = check(macaque_v4(root, session))
    assert v4.shape == (images, neurons) and not np.isnan(v4).any()
    stimuli = macaque_v4_images(root, session)
    assert v4["stimulus_id"].values.tolist() == list(stimuli.ids) == sorted(stimuli.ids)
    assert stimuli.pixels.shape == (images, 112, 112, 3)


def test_v4_session_with_repetitions(root):
    v4 = check(macaque_v4(root))
    assert v4.shape == (4840, 50) and not np.isnan(v4).any()
    assert np.isclose(1 - v4.size / (50 * 640 * 10), 0.24, atol=0.005)  # the README's share of absent ones
    shown = Counter(v4["stimulus_id"].values.tolist())
    assert len(shown) == 640 and set(shown.values()) == {6, 7, 8, 9, 10}
    raw = np.load(root / "macaque-v4" / "responses_raw_210325.npy")
    for i in np.random.default_rng(0).integers(0, 4840, 50):
        image = int(v4["stimulus_id"].values[i].removeprefix("image").removesuffix(".jpg")) - 1
        np.testing.assert_array_equal(v4.values[i], raw[:, image, v4["repetition"].values[i]])
    mean = mean_repetitions(v4)
    np.testing.assert_allclose(mean.values.T, np.load(root / "macaque-v4" / "responses_210325.npy"), atol=1e-12)
    assert usable(mean)[1].kept == 50


ENDS = (60, 80, 100, 160, 220)  # of windows of 100 ms


@pytest.fixture(scope="module")
def it(root):
    """Counts in 20 bins of 50 ms, the windows, and one millisecond; reading the 132 files takes a second or two."""
    bins = [*time_bins(-500, 500, 50), *((e - 100, e) for e in ENDS), (100, 101)]
    return macaque_it(root, time_bins_ms=bins, unit="spikes")


def test_it_rasters_are_binned_and_laid_out_by_stimulus_and_repetition(it):
    it = check(it)[..., :20]
    assert it.shape == (420, 132, 20) and len(np.unique(it["session"])) == 21
    assert it["time_bin_start"].values[[0, -1]].tolist() == [-500, 450]
    assert len(set(it["object_name"].values.tolist())) == 7 and len(set(it["position"].values.tolist())) == 3
    assert set(Counter(it["stimulus_id"].values.tolist()).values()) == {20}
    missing = np.isnan(it).all("time_bin")
    assert int(missing.sum()) == int(np.isnan(it).any("time_bin").sum()) == 7
    where = it["stimulus_id"].values[missing.any("neuroid")].tolist(), it["repetition"].values[missing.any("neuroid")]
    assert where == (["flower/middle"], [19])
    assert set(it["session"].values[missing.any("presentation")].tolist()) == {1006}
    kept, left_out = usable(mean_repetitions(it))
    assert left_out.missing == () and kept.sizes["presentation"] == 21


def test_it_keeps_every_trials_spikes(root, it):
    import scipy.io

    path = root / "zhang-desimone-7object" / "bp1006spk_02B_raster_data.mat"
    file = scipy.io.loadmat(path, simplify_cells=True)
    labels, raster = file["raster_labels"]["combined_ID_position"], file["raster_data"]
    assert raster.shape == (419, 1000)
    own = select(it, neuroid_id="bp1006spk_02B")
    assert time_bins_of(own)[-3:-1] == [(60, 160), (120, 220)]
    for stimulus in ("kiwi/upper", "flower/middle"):
        trials = raster[labels == stimulus.replace("/", "_")]  # in the order they were run
        counts = select(own, stimulus_id=stimulus).values[:, 0]
        np.testing.assert_array_equal(counts[: len(trials), -3], trials[:, 560:660].sum(1))
        np.testing.assert_array_equal(counts[: len(trials), -1], trials[:, 600])


def test_it_is_in_10_ms_bins_of_spikes_per_second_by_default(root, it):
    rates = macaque_it(root)
    assert time_bins_of(rates) == time_bins(-500, 500, 10) and rates.attrs["unit"] == "spikes/s"
    np.testing.assert_allclose(rebin(rates, [(60, 160)]).values[..., 0] / 10, it.values[..., -3])


def test_it_tells_objects_apart_from_100_ms_on(it):
    """Correlation with the objects' mean patterns; windows of 100 ms, named by their end."""
    responses, objects = np.nan_to_num(it.values[..., 20:-1]), it["object_name"].values
    names = np.unique(objects)
    right = []
    for fold in range(5):
        test = it["repetition"].values % 5 == fold
        z = (responses - responses[~test].mean(0)) / (responses[~test].std(0) + 1e-9)
        means = np.stack([z[~test & (objects == n)].mean(0) for n in names])
        for t in range(len(ENDS)):
            r = np.corrcoef(means[:, :, t], z[test][:, :, t])[len(names) :, : len(names)]
            right.append(np.mean(names[r.argmax(1)] == objects[test]))
    accuracy = dict(zip(ENDS, np.reshape(right, (5, -1)).mean(0), strict=True))
    assert all(abs(accuracy[e] - 1 / 7) < 0.04 for e in (60, 80, 100))
    assert accuracy[160] > 0.6 and accuracy[220] > 0.8


def test_92_objects(root):
    found = kriegeskorte92(root)
    upper = np.triu_indices(92, 1)
    rho = spearmanr(found.monkey_it[upper], found.human_it[upper]).statistic
    assert round(float(rho), 3) == 0.439
    assert found.human_it_sessions.shape == (4, 2, 92, 92) and found.behaviour.shape == (16, 92, 92)
    for rdm in (found.monkey_it, found.human_it, *found.human_it_sessions[:, 0], *found.behaviour):
        squareform(rdm)  # symmetric, with a diagonal of zeros
    mean = found.human_it_sessions.mean((0, 1))  # the published vector is in the order of the stimuli
    assert spearmanr(mean[upper], found.human_it[upper]).statistic > 0.9999
    assert found.stimuli.pixels.shape == (92, 175, 175, 3) and len(found.stimuli) == 92
    assert found.membership["face"].sum() == 24
    assert np.array_equal(found.membership["face"], [c.endswith("face") for c in found.category])


def test_speed_and_accuracy_of_people(root):
    trials = human_speed_accuracy(root)
    assert trials.shape == (43_500,) and len(np.unique(trials["subject"])) == 33
    assert round(float(np.isnan(trials).mean()), 2) == 0.23
    assert (np.isnan(trials.values) == (trials["response"].values == "")).all()
    grey = trials[trials["condition"].values == "color_gray"]
    curve = [float(grey[grey["time_ms"].values == t].mean()) for t in (200, 400, 600, 800, 1000)]
    np.testing.assert_allclose(curve, [0.122, 0.151, 0.441, 0.619, 0.653], atol=5e-4)  # computed from the file
    assert len(np.unique(trials["truth"])) == 10


def test_occlusion_and_masking_of_people(root):
    trials = human_occlusion(root)
    assert trials.shape == (13_000,) and len(np.unique(trials["subject"])) == 21
    published = {False: [0.57, 0.65, 0.72, 0.73, 0.74], True: [0.25, 0.45, 0.55, 0.63, 0.72]}
    for masked, accuracies in published.items():
        for soa, accuracy in zip((25, 50, 75, 100, 150), accuracies, strict=True):
            chosen = (trials["masked"].values == masked) & (trials["soa_ms"].values == soa)
            assert abs(float(trials[chosen].mean()) - accuracy) < 0.0051
    assert np.array_equal(trials.values == 1, trials["truth"].values == trials["response"].values)
    images = human_occlusion_images(root)
    assert images.pixels.shape == (325, 256, 256)
    assert set(trials["stimulus_id"].values.tolist()) == set(images.ids)
    twice = Counter(zip(trials["subject"].values.tolist(), trials["stimulus_id"].values.tolist(), strict=True))
    assert set(twice.values()) == {2}


def test_what_is_not_there_is_said(tmp_path):
    for load, name in (
        (macaque_v4, "responses_raw_210325.npy"),
        (macaque_it, "zhang-desimone-7object"),
        (kriegeskorte92, "Kriegeskorte_Neuron2008"),
        (human_speed_accuracy, "trials.csv.gz"),
        (human_occlusion, "trials_v2.csv.gz"),
        (human_occlusion_images, "occluded_images.mat"),
    ):
        with pytest.raises(VentralError, match=r"does not exist; it is part of .*; get it at https?://") as caught:
            load(tmp_path)
        assert name in str(caught.value)
    with pytest.raises(
        VentralError, match=r"unknown data set 'macaque-v4:210326' .*; did you mean 'macaque-v4:210325'"
    ):
        macaque_v4(tmp_path, "210326")


@pytest.mark.parametrize("layout", ["ours", "the authors'", "the folder itself", "folders of images", "parts"])
def test_any_v4_session_is_read_in_the_authors_layout_or_ours(tmp_path, layout):
    place = {"ours": "macaque-v4", "the folder itself": "."}.get(layout, "data_V4_responses")
    folder = tmp_path / place
    responses, pictures = (folder / name if layout == "parts" else folder for name in ("responses", "images"))
    responses.mkdir(parents=True, exist_ok=True), pictures.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    means, raw = rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 2))
    raw[:, 2, 1] = np.nan
    for session in ("190923", "200101"):
        np.save(responses / f"responses_{session}.npy", means)
        names = [f"image{i:04}.png" for i in (1, 2, 3)]
        if layout == "folders of images":
            (folder / f"images_{session}").mkdir()
            for name in (*names, ".DS_Store"):
                Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"images_{session}" / name, "PNG")
        else:
            with zipfile.ZipFile(pictures / f"images_{session}.zip", "w") as archive:
                for name in (*names, "__MACOSX/._image0001.png"):
                    with archive.open(name, "w") as file:
                        Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    np.save(responses / "responses_raw_200101.npy", raw)
    assert macaque_v4_sessions(tmp_path) == ("190923", "200101")
    one, two = macaque_v4(tmp_path, "190923"), macaque_v4(tmp_path, "200101")
    np.testing.assert_array_equal(one.values, means.T)
    assert two.shape == (5, 4) and two["repetition"].values.tolist() == [0, 1, 0, 1, 0]
    assert one["stimulus_id"].values.tolist() == list(macaque_v4_images(tmp_path, "190923").ids) == names
    with pytest.raises(VentralError, match=r"unknown data set 'macaque-v4:190932' .*did you mean 'macaque-v4:190923'"):
        macaque_v4(tmp_path, "190932")
    np.save(responses / "responses_190923.npy", means.T)
    with pytest.raises(VentralError, match=r"of shape \[3, 4\]; expected neurons x 3 "):
        macaque_v4(tmp_path, "190923")


def test_a_v4_session_with_repetitions_is_read_in_the_authors_own_folders(tmp_path):
    folder = tmp_path / "data_V4_responses"
    raw = np.random.default_rng(0).normal(size=(4, 3, 2))
    for name, values in {"responses_raw": raw, "responses_repeat_averaged": raw.mean(2)}.items():
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "responses_201016.npy", values)
    (folder / "images").mkdir()
    with zipfile.ZipFile(folder / "images" / "images_201016.zip", "w") as archive:
        for i in range(3):
            with archive.open(f"image{i}.png", "w") as file:
                Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    assert macaque_v4_sessions(tmp_path) == ("201016",)
    found = macaque_v4(tmp_path, "201016")
    assert found.shape == (6, 4)
    np.testing.assert_array_equal(found.values, raw.reshape(4, 6).T)


def test_the_environment_names_the_root(monkeypatch, tmp_path):
    for load in (macaque_v4, macaque_it, kriegeskorte92, human_speed_accuracy, human_occlusion):
        monkeypatch.setenv("VENTRALSTREAM_DATA", str(tmp_path / "here"))
        with pytest.raises(VentralError, match=r"here/.* does not exist"):
            load()
        monkeypatch.delenv("VENTRALSTREAM_DATA")
        with pytest.raises(VentralError, match=r"needs a root: --root FOLDER, .* or the variable VENTRALSTREAM_DATA"):
            load()


def test_files_are_never_unpickled_and_bad_ones_said(tmp_path):
    folder = tmp_path / "macaque-v4"
    folder.mkdir()
    (folder / "images_210325.zip").write_bytes(b"no zip")
    np.save(folder / "responses_210325.npy", np.zeros((2, 3)))
    with pytest.raises(VentralError, match="cannot be read as a zip archive"):
        macaque_v4(tmp_path)
    np.save(folder / "a.npy", np.array([{"an": "object"}]), allow_pickle=True)
    (folder / "b.mat").write_text("no MATLAB")
    (folder / "c.csv").write_text("a,b\n1,\n2,x\n")
    with pytest.raises(VentralError, match=r"a.npy' cannot be read"):
        read_npy(folder / "a.npy")
    with pytest.raises(VentralError, match=r"b.mat' cannot be read"):
        read_mat(folder / "b.mat")
    with pytest.raises(VentralError, match=r"unknown column 'aa' of .*did you mean 'a'"):
        read_table(folder / "c.csv", {"aa": "ours"})
    assert read_table(folder / "c.csv", {"b": "text"})["text"].tolist() == ["", "x"]
