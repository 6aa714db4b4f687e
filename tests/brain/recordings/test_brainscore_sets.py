"""Small files in exactly the layout that Brain-Score distributes, downloaded from a server of our own."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
import xarray

from ventralstream.assembly import check
from ventralstream.brain.recordings.datasets import (
    SETS,
    BrainScoreSet,
    brainscore,
    download,
    load,
    monkey_solution_times,
)
from ventralstream.brain.recordings.datasets.brainscore import StimulusFiles
from ventralstream.brain.recordings.presentations import mean_repetitions, select
from ventralstream.errors import VentralError

rng = np.random.default_rng(0)


def majaj_hong():
    """neuroid x presentation x time_bin, all coordinates flat; objects are in the table of stimuli."""
    ids = np.tile([hashlib.sha1(bytes([i])).hexdigest() for i in range(4)], 3)
    return xarray.DataArray(
        rng.normal(size=(5, 12, 1)),
        dims=("neuroid", "presentation", "time_bin"),
        coords={
            "image_id": ("presentation", ids),
            "repetition": ("presentation", np.repeat([0, 1, 2], 4)),
            "neuroid_id": ("neuroid", [f"Tito_L_P_{i}" for i in range(5)]),
            "region": ("neuroid", ["IT", "IT", "V4", "V4", "IT"]),
            "subregion": ("neuroid", ["pIT", "aIT", "V4", "V4", "cIT"]),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
        attrs={"stimulus_set_name": "hvm-public"},
    )


def kar():
    """decoder x presentation; what was the index of `decoder` is written as `decoder_`."""
    return xarray.DataArray(
        np.array([[150.0, np.nan, 110.0, 150.0], [1.0, 2.0, 3.0, 1.0]]),
        dims=("decoder", "presentation"),
        coords={
            "decoder_": ("decoder", ["svm", "logistic"]),
            "image_id": ("presentation", ["b", "c", "a", "b"]),
            "image_label": ("presentation", ["dog", "bear", "car", "dog"]),
            "i1": ("presentation", [1.5, 0.5, 2.5, 1.5]),
        },
    )


def rajalingham():
    """One choice a trial, as text; the choice is a coordinate, too."""
    return xarray.DataArray(
        np.array(["dog", "bear", "dog"], dtype=object),
        dims=("presentation",),
        coords={
            "choice": ("presentation", ["dog", "bear", "dog"]),
            "sample_obj": ("presentation", ["dog", "dog", "bear"]),
            "dist_obj": ("presentation", ["bear", "bear", "dog"]),
            "truth": ("presentation", ["dog", "dog", "bear"]),
            "image_id": ("presentation", ["a", "b", "a"]),
            "enough_human_data": ("presentation", [True, False, True]),
        },
    )


def stimulus_table(array):
    ids = list(dict.fromkeys(array["image_id"].values.tolist()))
    objects = [f"object {i % 2}" for i in range(len(ids))]
    names = [f"{i}.png" for i in ids]
    return pd.DataFrame({"image_id": ids, "object_name": objects, "filename": names, "degrees": 8})


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder as on the server, and a catalogue of what is in it."""
    folder = tmp_path / "server"
    folder.mkdir()
    sets = {}
    for name, array, variable in (
        ("MajajHong2015.public", majaj_hong(), "data"),
        ("Kar2019", kar(), "data"),
        ("Rajalingham2018.public", rajalingham(), "__xarray_dataarray_variable__"),
    ):
        original = SETS[name]
        path, csv, images = folder / original.file, folder / original.stimuli.csv, folder / original.stimuli.zip
        array.to_dataset(name=variable, promote_attrs=True).to_netcdf(path, engine="h5netcdf")
        stimulus_table(array).to_csv(csv, index=False)
        images.write_bytes(b"a zip archive")
        sha1 = {p: hashlib.sha1(p.read_bytes()).hexdigest() for p in (path, csv, images)}
        stimuli = StimulusFiles(original.stimuli.identifier, sha1[csv], sha1[images])
        sets[name] = BrainScoreSet(original.identifier, sha1[path], stimuli, original.access)
    monkeypatch.setattr(brainscore, "SETS", sets)
    return folder


@pytest.fixture
def address(published):
    pytest.importorskip("pooch", reason="pooch, which downloads, is not installed")
    asked = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=published))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_majaj_hong_is_downloaded_checked_and_loaded(tmp_path, address):
    url, asked = address
    path = download("MajajHong2015.public", tmp_path / "sets", address=url)
    assert path.name == "assy_dicarlo_MajajHong2015_public.nc"
    assert {p.name for p in path.parent.iterdir()} == {path.name, "stimulus_hvm-public.csv"}
    it = check(select(load("MajajHong2015.public", tmp_path / "sets"), region="IT"))
    assert it.shape == (12, 3, 1) and it["time_bin_end"].values.tolist() == [170]
    assert it["object_name"].values.tolist() == ["object 0", "object 1"] * 6
    assert it["subregion"].values.tolist() == ["pIT", "aIT", "cIT"] and it["degrees"].values.tolist() == [8] * 12
    assert it.attrs["identifier"] == "dicarlo.MajajHong2015.public"
    mean = mean_repetitions(it)
    assert mean.sizes["presentation"] == 4 and mean["object_name"].values.tolist() == ["object 0", "object 1"] * 2
    lazy = load("MajajHong2015.public", tmp_path / "sets", into_memory=False)
    np.testing.assert_array_equal(select(lazy, region="IT").values, it.values)

    before = len(asked)
    download("MajajHong2015.public", tmp_path / "sets", address=url)  # all there: nothing is asked for
    assert len(asked) == before
    download("MajajHong2015.public", tmp_path / "sets", images=True, address=url)
    assert (tmp_path / "sets" / "stimulus_hvm-public.zip").read_bytes() == b"a zip archive"
    assert len(asked) == before + 1


def test_kar_and_rajalingham_have_their_own_dimensions(tmp_path, address):
    url, _ = address
    download("Kar2019", tmp_path, address=url)
    times = load("Kar2019", tmp_path)
    assert times.dims == ("presentation", "decoder")
    monkey = monkey_solution_times(times)
    assert monkey.dims == ("presentation",) and monkey["stimulus_id"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(monkey.values, [110, 150, np.nan])
    assert monkey["i1"].values.tolist() == [2.5, 1.5, 0.5]
    assert monkey["object_name"].values.tolist() == ["car", "dog", "bear"]
    assert monkey_solution_times(times, "logistic").values.tolist() == [3, 1, 2]
    with pytest.raises(VentralError, match="unknown decoder 'svn'; did you mean 'svm'"):
        monkey_solution_times(times, "svn")

    download("Rajalingham2018.public", tmp_path, address=url)
    choices = load("Rajalingham2018.public", tmp_path)
    assert choices.dims == ("presentation",) and choices.values.tolist() == ["dog", "bear", "dog"]
    assert choices["stimulus_id"].values.tolist() == ["a", "b", "a"]
    assert choices["dist_obj"].values.tolist() == ["bear", "bear", "dog"]
    with pytest.raises(VentralError, match="no object solution times of Kar 2019"):
        monkey_solution_times(choices)


def test_a_wrong_file_is_refused_and_leaves_nothing(tmp_path, published, address):
    url, _ = address
    (published / "stimulus_hvm-public.csv").write_text("another table")
    with pytest.raises(VentralError, match="csv' is not the file expected: its SHA-1 is not"):
        download("MajajHong2015.public", tmp_path / "sets", address=url)
    assert [p.suffix for p in (tmp_path / "sets").iterdir()] == [".nc"]
    (tmp_path / "sets" / "stimulus_hvm-public.csv").write_text("put here by hand")
    with pytest.raises(VentralError, match="is not the file that Brain-Score published"):
        load("MajajHong2015.public", tmp_path / "sets")


def test_refusals_are_one_sentence(tmp_path, published, address):
    url, _ = address
    (published / "assy_dicarlo_Kar2019.nc").unlink()
    for name, where, message in (
        ("Kar2019", url, r"the server answers 404 .*\('Kar2019' is private: it needs Brain-Score's credentials\)"),
        ("MajajHong2015.public", "http://127.0.0.1:9", "cannot be downloaded: .*; is there a network?"),
        ("MajajHong2015.publik", url, "unknown Brain-Score set 'MajajHong2015.publik'; did you mean"),
    ):
        with pytest.raises(VentralError, match=message) as caught:
            download(name, tmp_path / "sets", address=where)
        assert "\n" not in str(caught.value)
    assert not list((tmp_path / "sets").iterdir())
    with pytest.raises(VentralError, match=r"does not exist; download\('MajajHong2015.public'"):
        load("MajajHong2015.public", tmp_path / "sets")


def test_the_catalogue_names_files_as_brain_score_does():
    assert SETS["MajajHong2015.temporal.public"].file == "assy_dicarlo_MajajHong2015_temporal_public.nc"
    assert SETS["Rajalingham2018.public"].stimuli.zip == "stimulus_objectome_public.zip"
    for one in SETS.values():
        assert all(len(bytes.fromhex(s)) == 20 for s in (one.sha1, one.stimuli.csv_sha1, one.stimuli.zip_sha1))
    assert len({s.sha1 for s in SETS.values()}) == len(SETS) == 8
