"""`ventral brain`: tables, JSON and figures of planted data, of the real sets where they are, and mistakes."""

import errno
import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import h5py
import numpy as np
import pytest
import xarray as xr
from PIL import Image

import ventralstream as vs
from ventralstream import cli
from ventralstream.brain import assembly, features, read, write

MODEL = "rgc_shallow_cifar"
OBJECTS = ("bear", "boat", "bread")
PER_OBJECT = 12
IDS = [f"{name}/{i:02}.png" for name in OBJECTS for i in range(PER_OBJECT)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of images, and recordings of them by neurons that are read-outs of a model's conv3, with noise."""
    place = tmp_path_factory.mktemp("brain")
    rng = np.random.default_rng(0)
    base = dict(zip(OBJECTS, rng.integers(0, 256, (3, 4, 4, 3)), strict=True))
    for id_ in IDS:
        path = place / "images" / id_
        path.parent.mkdir(parents=True, exist_ok=True)
        own = 0.6 * base[id_.split("/")[0]] + 0.4 * rng.integers(0, 256, (4, 4, 3))
        Image.fromarray(own.astype(np.uint8)).resize((32, 32), Image.Resampling.NEAREST).save(path)
    net = vs.create_model(MODEL, seed=0).eval()
    conv3 = features(net, place / "images", "conv3", steps=6, reduce="mean")["conv3"]
    x = conv3.values[:, :, 2:]  # from the first step that the image drives
    x = (x - x.mean((0, 2), keepdims=True)) / x.std((0, 2), keepdims=True)
    y = np.einsum("pct,cn->pnt", x, rng.normal(size=(x.shape[1], 8))) / 8
    trials = np.concatenate([y + 0.3 * rng.normal(size=y.shape) for _ in range(6)])
    coords = {
        "stimulus_id": [i.removesuffix(".png") for i in IDS] * 6,  # without their ending
        "object_name": [i.split("/")[0] for i in IDS] * 6,
        "repetition": np.repeat(np.arange(6), len(IDS)),
        "region": "IT",
    }
    bins = [(10 * t, 10 * (t + 1)) for t in range(2, 6)]
    write(assembly(trials, time_bins_ms=bins, **coords), place / "timed.nc")
    write(assembly(trials.mean(2), **coords), place / "untimed.nc")
    vs.save_network(net, place / "saved")
    vs.extract(net, place / "images", vs.Record(["conv3", "conv5"]), place / "store.zarr", steps=6, resize="squash")
    return place


@pytest.fixture
def ventral(monkeypatch, capsys, place):
    """Runs `ventral brain`; gives the exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["ventral", "brain", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return run


@pytest.fixture
def found(ventral):
    """Runs it with --json, and reads that."""

    def run(*arguments):
        code, out, err = ventral(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture(scope="module")
def root():
    path = os.environ.get("VENTRALSTREAM_DATA")
    if not path:
        pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
    return path


SHOWN = ("--images", "images", "--mapping", "ridge_cv", "--splits", "3", "--resamples", "20", "--steps", "6")
SHOWN += ("--reduce", "mean")


def test_a_planted_area_is_found_over_time(found):
    scores = {
        s["area"]: s for s in found("score", MODEL, "--data", "timed.nc", *SHOWN, "--areas", "conv1,conv3")["scores"]
    }
    mean = {a: np.mean(s["raw"]["values"]) for a, s in scores.items()}
    assert mean["conv3"] > 0.8 and mean["conv3"] > mean["conv1"] + 0.05
    assert scores["conv3"]["weights"] == "untrained (seed 0)" and scores["conv3"]["n"]["time_bins"] == 4
    assert scores["conv3"]["raw"]["coords"]["time_bin_start"] == [20, 30, 40, 50]


def test_a_saved_network_and_a_store_give_the_scores_of_the_model(found):
    how = (*SHOWN, "--areas", "conv3", "--data", "timed.nc")
    values = [found("score", model, *how)["scores"][0]["value"]["values"] for model in (MODEL, "saved", "store.zarr")]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    np.testing.assert_allclose(values[0], values[2], atol=1e-3)


def test_models_side_by_side_without_time(ventral, place):
    how = ("score", "saved", "pixels", "--data", "untimed.nc", *SHOWN, "--areas", "conv3,conv5")
    code, out, err = ventral(*how, "--figure", "score.svg", "--out", "score.json")
    assert code == 0, err
    rows = [line.split() for line in out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["saved", "conv3"], ["saved", "conv5"], ["pixels", "pixels"]]
    assert float(rows[0][3]) > 0.8 and "8 neurons, 36 stimuli, 6 repetitions" in out and "r^2 / c" in out
    stored = json.loads((place / "score.json").read_text())
    assert stored["options"]["mapping"] == "ridge_cv" and len(stored["scores"]) == 3
    assert (place / "score.svg").read_text().startswith("<?xml") and not list(place.glob("*.part"))


def test_moments_and_assignment(found):
    how = ("score", "saved", "--data", "untimed.nc", *SHOWN, "--areas", "conv3,conv5")
    values = [found(*how, "--moment", moment)["scores"][0]["raw"] for moment in ("last", "5", "2")]
    assert values[0] == values[1] != values[2]
    (one,) = found(*how, "--assign")["scores"]
    assert one["area"] == "conv3 for IT" and one["n"]["neuroids"] == 4


def test_figure_over_time(ventral, place):
    code, _, err = ventral("score", "saved", "pixels", "--data", "timed.nc", *SHOWN, "--figure", "time.png")
    assert code == 0, err
    assert Image.open(place / "time.png").size[0] > 600


def test_consistency(found, ventral):
    region = found("consistency", "--data", "timed.nc")["regions"]["IT"]
    assert all(v > 0.8 for v in region["value"]["values"]) and region["n"]["repetitions"] == 6
    code, out, err = ventral("consistency", "--data", "timed.nc", "--figure", "c.svg")
    assert code == 0 and "20 to 30" in out, err
    code, out, err = ventral("consistency", "--data", "untimed.nc", "--figure", "c.svg")
    assert code == 0 and "IT" in out, err


def test_decode(found, ventral):
    read = found("decode", "--data", "timed.nc", "--window-ms", 20, "--every-ms", 10, "--folds", 3)
    assert read["x"] == [40, 50, 60] and min(read["accuracy"]) > 0.6 and read["chance"] == pytest.approx(1 / 3)
    code, out, err = ventral("decode", "--data", "timed.nc", "--window-ms", 20, "--folds", 3, "--figure", "d.svg")
    assert code == 0 and "20 to 40" in out, err


def test_rsa_of_recordings(found, ventral):
    how = ("rsa", "store.zarr", "pixels", "--data", "timed.nc", "--images", "images", "--resamples", "0")
    scores = {(s["model"], s["area"]): s for s in found(*how, "--reduce", "mean")["scores"]}
    assert max(scores["store", "conv3"]["value"]["values"][2:]) > 0.5
    assert scores["store", "conv3"]["value"]["values"][0] is None  # before the image arrives
    code, out, err = ventral(*how, "--figure", "rsa.svg")
    assert code == 0 and "timed.nc with pixels" in out and "2 of 6 time bins" in out, err


def test_ost(found, ventral, place):
    rng = np.random.default_rng(1)
    columns = {
        "stimulus_id": IDS,
        "i1": rng.uniform(0.5, 1.5, len(IDS)),
        "object_name": [i.split("/")[0] for i in IDS],
    }
    monkey = xr.DataArray(rng.uniform(80, 200, len(IDS)), dims="presentation", name="data")
    monkey.assign_coords({k: ("presentation", v) for k, v in columns.items()}).to_netcdf(place / "ost.nc")
    how = ("ost", "store.zarr", "--data", "ost.nc", "--areas", "conv3", "--reduce", "mean", "--splits", "3")
    (score,) = found(*how)["scores"]
    assert score["n"]["held_out"] == 12 and score["formula"].startswith("Spearman of solution times (published")
    code, out, err = ventral(*how, "--rule", "adjacent", "--figure", "ost.svg")
    assert code == 0 and "adjacent rule, 3 splits" in out, err
    code, _, err = ventral("ost", "pixels", "--data", "ost.nc", "--images", "images")
    assert code == 2 and "does not change over time" in err


def test_behaviour(found, ventral, place):
    rng = np.random.default_rng(2)
    tested = [i for k, i in enumerate(IDS) if k % 2]
    rows = [(i, i.split("/")[0], d) for i in tested for d in OBJECTS if d != i.split("/")[0] for _ in range(10)]
    ids, truth, other = (np.array(column) for column in zip(*rows, strict=True))
    hard = {i: rng.uniform(0.6, 1.0) for i in tested}
    answers = np.where(rng.uniform(size=len(ids)) < [hard[i] for i in ids], truth, other)
    coords = {"stimulus_id": ids, "truth": truth, "sample_obj": truth, "dist_obj": other}
    trials = xr.DataArray(answers, dims="presentation", name="data")
    trials.assign_coords({k: ("presentation", v) for k, v in coords.items()}).to_netcdf(place / "choices.nc")
    how = ("behaviour", "store.zarr", "--data", "choices.nc", "--areas", "conv3", "--signature", "I1")
    result = found(*how)
    assert result["scores"][0]["accuracy"] > 0.8 and 0.7 < result["people"]["accuracy"] < 0.9
    assert result["scores"][0]["n"]["images"] == len(tested)
    code, out, err = ventral(*how, "--figure", "b.svg")
    assert code == 0 and "people, half with half" in out and "conv3" in out, err
    code, _, err = ventral("behaviour", "--data", "choices.nc", "--figure", "b.svg")
    assert code == 2 and "give a model" in err


def test_options_from_a_file(found, place):
    (place / "score.yaml").write_text("data: timed.nc\nmapping: ridge\nreduce: mean\nareas: conv3\n")
    result = found("score", "store.zarr", "--config", "score.yaml", "--splits", "2")
    assert result["options"]["mapping"] == "ridge" and result["data"] == "timed.nc"


def test_macaque_v4_by_name(root, ventral):
    code, out, err = ventral("consistency", "--data", "macaque-v4:210325", "--root", root)
    assert code == 0 and float(out.splitlines()[2].split()[1]) == pytest.approx(0.76, abs=0.02), err


def test_monkey_and_human_it(root, found):
    result = found("rsa", "--root", root, "--resamples", "0")
    assert result["references"]["monkey IT with human IT"]["value"] == pytest.approx(0.439, abs=5e-4)


def test_people(root, ventral, found):
    result = found("people", "--data", "human-occlusion", "--root", root)
    masked, unmasked = (result["by_soa"][k]["accuracy"] for k in ("masked", "unmasked"))
    np.testing.assert_allclose(masked, [0.25, 0.45, 0.55, 0.63, 0.72], atol=0.005)
    np.testing.assert_allclose(unmasked, [0.57, 0.65, 0.72, 0.73, 0.74], atol=0.006)
    code, out, err = ventral("people", "--root", root, "--figure", "people.svg")
    assert code == 0 and "43500 trials of 33 people" in out, err


def begun_run(path, data, root, epochs):
    """A run that was begun, of which no epoch is complete."""
    from ventralstream.data import load_set
    from ventralstream.training.folder import Checkpoint, created_run
    from ventralstream.training.recipe import Place, Recipe

    net, info = vs.create_model(MODEL, seed=0), load_set(data, root, "val", subset=1).info
    start = Checkpoint(0, 0, Recipe(data=data, epochs=epochs), net.spec, info, (), Place(root=root), net.state_dict())
    with created_run(path, start) as run:
        run.begin_session(start.place, start)


def test_people_and_a_run(root, found, tmp_path):
    begun_run(tmp_path / "run", "cifar10", root, epochs=1)
    result = found("people", tmp_path / "run", "--root", root, "--subset", "40")["model"]
    assert result["images"] == 40 and result["times_ms"] == [40, 50, 60, 70, 80, 90]
    assert result["accuracy"][0] < 0.3  # one answer to all images
    assert max(result["accuracy"]) < 0.4  # untrained


def test_an_area_that_cannot_be_scored_does_not_stop_the_others(ventral, found, place):
    how = ("pixels", "store.zarr", "--data", "untimed.nc", "--images", "images", "--splits", "2", "--resamples", "5")
    how += ("--projection", "20", "--mapping", "pls", "--areas", "conv3")
    result = found("score", *how)  # pixels have 3,072 features, the projected area 20: fewer than 25 components
    pixels, area = result["scores"]
    assert pixels["raw"] is not None and area["raw"] is None and area["value"] is None
    assert "PLS with 25 components" in area["reason"] and "--mapping ridge" in area["reason"]
    code, out, err = ventral("score", *how, "--figure", "some.svg")
    assert code == 0 and "store conv3: PLS with 25 components" in out and "--mapping ridge" in out, err
    code, out, err = ventral("score", *how[1:])  # no other area is left
    assert code == 2 and out == "" and "PLS with 25 components" in err


@pytest.mark.parametrize("as_json", [False, True])
def test_results_are_shown_before_they_are_written(ventral, place, monkeypatch, as_json):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ventralstream.cli.brain.output.write_text", full)
    how = ("consistency", "--data", "timed.nc", "--out", "c.json", "--figure", "after.svg")
    code, out, err = ventral(*how, *(["--json"] if as_json else []))
    assert code == 2 and ("20 to 30" in out or json.loads(out)["regions"]["IT"])
    assert "cannot write 'c.json': No space left on device" in err and "Traceback" not in err
    assert (place / "after.svg").is_file()  # what can be written is


def test_progress_is_told_in_a_pipe_and_results_stay_alone_on_stdout(ventral):
    code, out, err = ventral("score", MODEL, "--data", "untimed.nc", *SHOWN, "--areas", "conv1,conv3", "--json")
    assert code == 0 and json.loads(out)["scores"]
    assert f"showing images to {MODEL} (untrained): 36/36 images" in err and "scoring: 2/2 areas" in err


def test_a_run_that_is_not_complete_is_said(ventral, root, tmp_path):
    begun_run(tmp_path / "run", "cifar10", root, epochs=3)
    code, out, err = ventral("score", tmp_path / "run", "--data", "untimed.nc", *SHOWN, "--areas", "conv3")
    assert code == 0, err
    for said in (out, err):
        assert "the run is not complete; these are its weights from the start: none of its 3 epochs is complete" in said


def test_names_from_files_are_shown_as_they_are_and_escaped(ventral, place):
    odd = "a[red]b\x1b[31m\nc$x$"
    (place / f"{odd}.zarr").symlink_to(place / "store.zarr")
    recordings = read(place / "untimed.nc")
    write(recordings.assign_coords(region=("neuroid", ["[b]IT\n"] * 8)), place / "odd.nc")
    try:
        how = ("score", f"{odd}.zarr", "--data", "odd.nc", *SHOWN[2:-2], "--areas", "conv3", "--mapping", "ridge")
        code, out, err = ventral(*how, "--reduce", "mean", "--figure", "odd.svg")
        code_, out_, _ = ventral("consistency", "--data", "odd.nc", "--figure", "odd2.svg")
    finally:
        (place / f"{odd}.zarr").unlink()
    assert code == code_ == 0, err
    assert "a[red]b\\x1b[31m\\nc$x$" in out and "\x1b" not in out + err and len(out.splitlines()) == 3
    assert "[b]IT" in out_ and len(out_.splitlines()) == 3
    for name in ("odd.svg", "odd2.svg"):
        xml.etree.ElementTree.parse(place / name)  # raises where the file is no XML


def test_an_nwb_file_is_scored(found, place):
    random = np.random.default_rng(0)
    onsets = 1.0 + np.arange(len(IDS) * 4)
    drive = dict(zip(IDS, random.uniform(0, 30, len(IDS)), strict=True))
    spikes = [
        np.sort(
            np.concatenate(
                [t + random.uniform(0.01, 0.06, random.poisson(drive[i])) for t, i in zip(onsets, IDS * 4, strict=True)]
            )
        )
        for _ in range(2)
    ]
    with h5py.File(place / "one.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.6.0"
        file["units/id"], file["units/spike_times"] = np.arange(2), np.concatenate(spikes)
        file["units/spike_times_index"] = np.cumsum([len(s) for s in spikes])
        file["intervals/trials/id"], file["intervals/trials/start_time"] = np.arange(len(onsets)), onsets
        file["intervals/trials/picture"] = IDS * 4
    consistent = found("consistency", "--data", "one.nwb", "--stimulus", "picture", "--bin-ms", "50")["regions"]["all"]
    assert consistent["n"]["stimuli"] == len(IDS) and consistent["value"]["values"][2] > 0.8
    how = ("score", "store.zarr", "--data", "one.nwb", "--stimulus", "picture", "--window", "20-60", "--areas", "conv3")
    (score,) = found(*how, "--mapping", "ridge", "--splits", "2", "--resamples", "0", "--reduce", "mean")["scores"]
    assert score["n"]["neuroids"] == 2 and score["n"]["time_bins"] == 4


def test_the_authors_solution_times_bring_their_images(found, place):
    random = np.random.default_rng(0)
    with h5py.File(place / "dataset.h5", "w") as file:
        file["ost"], file["i1"] = random.uniform(80, 200, len(IDS)), random.uniform(0.5, 1.5, len(IDS))
        file["obj"] = [i.split("/")[0] for i in IDS]
        file["images"] = np.stack([np.asarray(Image.open(place / "images" / i)) for i in IDS])
    how = (
        "ost",
        MODEL,
        "--data",
        "dataset.h5",
        "--areas",
        "conv3",
        "--reduce",
        "mean",
        "--splits",
        "2",
        "--steps",
        "6",
    )
    (score,) = found(*how)["scores"]
    assert score["n"]["held_out"] == 8 and score["n"]["stimuli"] == len(IDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", MODEL, "--data", "timed.nc", "--splits", "0"), "--splits is 0; expected at least 1"),
        (("score", MODEL, "--data", "timed.nc", "--resamples", "-1"), "--resamples is -1; expected at least 0"),
        (("score", MODEL, "--data", "timed.nc", "--device", "cud"), "unknown device 'cud'; did you mean 'cuda'"),
        (("consistency", "--data", "timed.nc", "--halvings", "0"), "--halvings is 0; expected at least 1"),
        (("rsa", "--data", "timed.nc", "--steps", "0"), "--steps is 0; expected at least 1"),
        (("people", "--subset", "0"), "--subset is 0; expected at least 1 (leave it out to take all)"),
        (("consistency", "--data", "macaque-it", "--stimulus", "x", "--root", "."), "--stimulus is for NWB files"),
        (("score", MODEL, "--data", "macaque-v4:21325", "--root", "."), "did you mean 'macaque-v4:210325'"),
        (("score", MODEL, "--data", "macaqueit", "--root", "."), "did you mean 'macaque-it'"),
        (("score", MODEL, "--data", "human-occlusion", "--root", "."), "is for `ventral brain people`"),
        (("rsa", "--data", "kriegskorte-92", "--root", "."), "did you mean 'kriegeskorte-92'"),
        (("rsa", "--root", "nowhere"), "'nowhere/kriegeskorte-92"),
        (("people", "--data", "human-oclusion", "--root", "."), "did you mean 'human-occlusion'"),
        (("ost", MODEL, "--data", "Kar2091", "--root", "."), "did you mean 'Kar2019'"),
        (("ost", MODEL, "--data", "timed.nc"), "holds no solution times"),
        (("behaviour", "--data", "timed.nc"), "holds no choices of people"),
        (("score", MODEL, "--data", "absent.nc"), "'absent.nc' do not exist"),
        (("score", "rgc_shalow_cifar", "--data", "timed.nc", *SHOWN), "did you mean 'rgc_shallow_cifar'"),
        (("score", MODEL, "--data", "timed.nc"), "give --images FOLDER"),
        (("score", MODEL, "--data", "timed.nc", *SHOWN, "--areas", "covn3"), "did you mean 'conv3'"),
        (("score", "store.zarr", "--data", "timed.nc", "--areas", "conv4"), "unknown area 'conv4' in 'store.zarr'"),
        (("score", "absent.zarr", "--data", "timed.nc"), "'absent.zarr' does not exist"),
        (("score", "pixels", "pixels", "--data", "timed.nc", *SHOWN), "two models are called 'pixels'"),
        (("score", "store.zarr", "--data", "timed.nc", "--mapping", "rigde"), "did you mean 'ridge'"),
        (("score", "store.zarr", "--data", "timed.nc", "--correction", "rawr"), "did you mean 'raw'"),
        (("score", "store.zarr", "--data", "timed.nc", "--match", "neerest"), "did you mean 'nearest'"),
        (("score", "store.zarr", "--data", "timed.nc", "--delay-ms", "30"), "no step within the time bin 20 to 30"),
        (("score", "store.zarr", "--data", "timed.nc", "--region", "V4"), "unknown region 'V4'"),
        (("score", "store.zarr", "--data", "timed.nc", "--window", "early"), "cannot read the window 'early'"),
        (("score", "store.zarr", "--data", "timed.nc", "--window", "0-10"), "no time bin lies within 0 to 10"),
        (("score", "store.zarr", "--data", "untimed.nc", "--moment", "99"), "unknown moment '99'"),
        (("score", "store.zarr", "--data", "timed.nc", "--figure", "a.jpeg"), "must be one of .svg, .png, .pdf"),
        (("score", "store.zarr", "--data", "timed.nc", "--out", "no/a.json"), "the folder of 'no/a.json'"),
        (("score", "store.zarr", "--data", "timed.nc", "--threads", "0"), "threads is 0"),
        (("decode", "--data", "timed.nc", "--window-ms", "20", "--label", "objct_name"), "did you mean 'object_name'"),
        (("decode", "--data", "untimed.nc"), "not resolved in time"),
        (("people", "--form", "relativ", "--root", "."), "did you mean 'relative'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(ventral, place, arguments, message):
    before = sorted(place.iterdir())
    code, out, err = ventral(*arguments)
    lines = [x for x in err.splitlines() if "untrained" not in x]
    assert code == 2 and out == "" and len(lines) == 1 and message in lines[0], err
    assert sorted(place.iterdir()) == before


def test_data_sets_need_a_folder(ventral, monkeypatch):
    monkeypatch.delenv("VENTRALSTREAM_DATA", raising=False)
    code, _, err = ventral("rsa")
    assert code == 2 and "'kriegeskorte-92' needs a root: --root" in err


def test_help_is_light():
    code = (
        "import sys; from ventralstream.cli import app; sys.argv = ['ventral', 'brain', 'score', '--help']\n"
        "try: app()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'matplotlib', 'xarray', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    assert "MODEL..." in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
