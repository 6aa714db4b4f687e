"""Neurons beside units: planted neurons, of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from ventralstream.assembly import with_time_bins
from ventralstream.brain import align_time, assembly, internal_consistency, mean_repetitions, predictivity, write
from ventralstream.errors import VentralError
from ventralstream.explore.neural import FOLDS, HALVINGS, MAPPING, MOST_NEURONS, SEED, beside

STIMULI, BINS = 40, 4
IDS = [f"s{i:02d}" for i in range(STIMULI)]


def bins(start=0.0, count=BINS):
    return [(start + 10 * t, start + 10 * (t + 1)) for t in range(count)]


def at(recordings, start):
    """The same recordings at other times."""
    return with_time_bins(recordings, recordings.values, bins(start))


@pytest.fixture(scope="module")
def planted():
    """An area that drives neurons linearly with noise, an area of other numbers, and the recordings of 14 neurons."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STIMULI, 6, BINS))
    clean = np.einsum("sft,fn->snt", x, rng.normal(size=(6, 14)))
    noise = rng.normal(size=(4, STIMULI, 14, BINS)) * np.linspace(0.5, 6, 14)[:, None]
    trials = (clean + noise).reshape(-1, 14, BINS)
    recordings = assembly(
        trials,
        stimulus_id=IDS * 4,
        repetition=np.repeat(range(4), STIMULI),
        neuroid_id=[f"n{i}" for i in range(14)],
        time_bins_ms=bins(),
    )
    areas = {"right": x, "wrong": rng.normal(size=x.shape)}
    features = {name: assembly(values, stimulus_id=IDS, time_bins_ms=bins()) for name, values in areas.items()}
    return features, recordings


@pytest.fixture(scope="module")
def made(planted):
    return beside(*planted, [IDS[3], IDS[17]], "planted")


def test_predictions_ceilings_and_r_are_those_of_the_brain_room(planted, made):
    features, recordings = planted
    assert made["counts"] == {"neurons": 14, "stimuli": STIMULI, "repetitions": 4}
    assert len(made["neurons"]) == MOST_NEURONS and "n13" not in made["neurons"]  # the noisiest two are left out
    mean = mean_repetitions(recordings)
    neurons = [mean["neuroid_id"].values.tolist().index(n) for n in made["neurons"]]
    true = mean.values[[3, 17]][:, neurons]
    np.testing.assert_allclose(made["measured"], true, rtol=1e-4, atol=1e-6)
    score = predictivity(
        features["right"], recordings, MAPPING, correction="raw", splits=FOLDS, scheme="k_fold", seed=SEED, resamples=0
    )
    np.testing.assert_allclose(made["areas"]["right"]["r"], score.raw.values, rtol=1e-4)
    assert np.mean(made["areas"]["right"]["r"]) > 0.5 > 0.2 > np.mean(made["areas"]["wrong"]["r"])
    wrong = np.array(made["areas"]["right"]["predicted"]) - true
    assert np.abs(wrong[:, 0]).mean() < 0.3 * np.abs(true[:, 0]).mean()  # of the most reliable neuron
    reliability = internal_consistency(recordings, HALVINGS, SEED).per_neuroid.values
    each = np.sqrt(reliability.mean(1))[neurons]
    np.testing.assert_allclose(made["neuron_ceilings"], each, rtol=0.02)
    assert np.mean(made["areas"]["right"]["alike"]) > np.mean(made["areas"]["wrong"]["alike"]) + 0.1


def test_matrices_are_percentiles_with_an_empty_diagonal(made):
    side = made["rdm_side"]
    matrix = np.array(made["rdm"][2]).reshape(side, side)
    assert (np.diag(matrix) == -1).all() and (matrix == matrix.T).all()
    assert sorted({matrix.max(), matrix[np.triu_indices(side, 1)].min()}) == [0, 100]


def test_bins_that_the_network_does_not_reach_are_left_out(planted):
    features, recordings = planted
    early = at(recordings, -10.0)
    assert [b[0] for b in beside(features, early, [IDS[0]], "p")["bins"]] == [0, 10, 20]
    with pytest.raises(VentralError, match="holds a step of the network"):
        beside(features, at(recordings, 500.0), [IDS[0]], "p")
    with pytest.raises(VentralError, match="not resolved in time"):
        beside(features, recordings.mean("time_bin"), [IDS[0]], "p")
    assert align_time(features["right"], recordings).sizes["time_bin"] == BINS


def test_the_command_shows_them(planted, tmp_path, monkeypatch, net):
    """From files to the page: images in a folder, recordings in NetCDF."""
    import json
    import re

    from PIL import Image

    import ventralstream as vs
    from ventralstream.cli import main

    rng = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    for name in IDS:
        Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    _, recordings = planted
    write(at(recordings, 40.0), tmp_path / "neurons.nc")
    vs.save_network(net, tmp_path / "net")
    command = [
        "ventral",
        "explore",
        tmp_path / "net",
        "--data",
        tmp_path / "neurons.nc",
        "--images",
        tmp_path / "images",
    ]
    monkeypatch.setattr("sys.argv", [*map(str, command), "--steps", "9", "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    header = json.loads(re.search(r'id="header">(.*?)</script>', (tmp_path / "page.html").read_text(), re.DOTALL)[1])
    neural = header["neural"]
    assert header["traces"][0]["images"]["names"] == [IDS[i] for i in (0, 6, 11, 17, 22, 28, 33, 39)]
    assert np.shape(neural["measured"]) == (8, MOST_NEURONS, BINS)
    assert set(neural["areas"]) == {"conv1", "conv2", "conv3", "conv4", "conv5"}
