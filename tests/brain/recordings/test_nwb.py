"""NWB files, made here in the layout of the NWB 2 schema."""

import h5py
import numpy as np
import pytest

from ventralstream.brain import mean_repetitions, read, read_nwb
from ventralstream.brain.recordings.nwb import is_nwb
from ventralstream.errors import VentralError

ONSETS = [1.0, 2.0, 3.0, 4.0]
SPIKES = [[1.0, 1.0099, 1.01, 2.005, 0.95], [3.02, 4.0005], []]  # of three units, in seconds


def write(path, shown=("a", "b", "a", "b"), name="image_name", **changes):
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        units = file.create_group("units")
        units["id"] = np.array([10, 11, 12])
        units["spike_times"] = np.concatenate([np.sort(s) for s in SPIKES])
        units["spike_times_index"] = np.cumsum([len(s) for s in SPIKES]).astype(np.uint8)
        units["quality"] = np.array(["good", "good", "mua"], dtype=text)
        units["session"] = np.array([1, 1, 2])
        units["waveform_mean"] = np.zeros((3, 5))
        units["electrodes"], units["electrodes_index"] = np.array([1, 0, 1]), np.array([1, 2, 3])
        electrodes = file.create_group("general/extracellular_ephys/electrodes")
        electrodes["location"] = np.array(["V4", "IT"], dtype=text)
        trials = file.create_group("intervals/trials")
        trials["id"], trials["start_time"] = np.arange(4), np.array(ONSETS)
        trials["stop_time"] = np.array(ONSETS) + 0.1
        if name:
            trials[name] = np.array(list(shown), dtype=text)
        trials["session"] = np.arange(4)
        trials["tags"], trials["tags_index"] = np.array(["x"] * 4, dtype=text), np.arange(1, 5)
        for where, value in changes.items():
            place = where.replace("__", "/")
            if place in file:
                del file[place]
            if value is not None:
                file[place] = value
    return path


def test_units_and_trials_are_an_assembly(tmp_path):
    made = read_nwb(write(tmp_path / "one.nwb"), start_ms=-100, stop_ms=30, unit="spikes")
    assert made.dims == ("presentation", "neuroid", "time_bin") and made.shape == (4, 3, 13)
    after = made.isel(time_bin=slice(10, None))
    assert after["time_bin_start"].values.tolist() == [0, 10, 20]
    assert after.values[:, 0].tolist() == [[2, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]  # 10 ms is of the later bin
    assert after.values[:, 1].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert made.values[0, 0, 5] == 1 and not made.values[:, 2].any()
    assert made["stimulus_id"].values.tolist() == ["a", "b", "a", "b"]
    assert made["repetition"].values.tolist() == [0, 0, 1, 1] and made["region"].values.tolist() == ["IT", "V4", "IT"]
    assert made["neuroid_id"].values.tolist() == ["10", "11", "12"]
    assert made["quality"].values.tolist() == ["good", "good", "mua"]
    assert made["session"].values.tolist() == [0, 1, 2, 3] and made["unit_session"].values.tolist() == [1, 1, 2]
    assert "tags" not in made.coords and mean_repetitions(made).sizes["presentation"] == 2
    rates = read_nwb(tmp_path / "one.nwb", time_bins_ms=[(0, 50)])
    assert rates.values[0, 0, 0] == 3 / 0.05


def test_other_columns_tables_and_onsets_can_be_named(tmp_path):
    path = write(
        tmp_path / "one.nwb", name="picture", intervals__flashes__start_time=[1.0], intervals__flashes__frame=[7]
    )
    with pytest.raises(VentralError, match=r"no column of 'trials' .* \(--stimulus\), one of: picture, session"):
        read_nwb(path)
    assert read_nwb(path, stimulus="picture").sizes["presentation"] == 4
    assert read_nwb(path, table="flashes", stimulus="frame")["stimulus_id"].values.tolist() == ["7"]
    assert read_nwb(path, stimulus="picture", onset="stop_time", start_ms=-100, stop_ms=0).values.sum() > 0


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"stimulus": "image_nam"}, "unknown column 'image_nam' .*did you mean 'image_name'"),
        ({}, {"table": "trails"}, "unknown table 'trails' .*did you mean 'trials'"),
        ({"shown": ("a", "", "a", "")}, {}, "2 of 4 presentations have no 'stimulus_id'"),
        ({"intervals__trials__start_time": [1.0, np.nan, 2.0, 3.0]}, {}, "1 of 4 presentations have no 'start_time'"),
        ({"units": None}, {}, "has no units"),
        ({"units__spike_times": None}, {}, "have no spike times"),
        ({"units__spike_times_index": [9, 2, 3]}, {}, "does not fit"),
        ({}, {"unit": "spike"}, "did you mean 'spikes'"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path, changes, options, message):
    with pytest.raises(VentralError, match=message) as caught:
        read_nwb(write(tmp_path / "one.nwb", **changes), **options)
    assert "\n" not in str(caught.value)


def test_what_is_no_nwb_file_is_a_sentence(tmp_path):
    (tmp_path / "text.nwb").write_text("no HDF5")
    (tmp_path / "folder.nwb").mkdir()
    for name, message in (("text", "cannot be read as HDF5"), ("folder", "is a folder"), ("no", "does not exist")):
        with pytest.raises(VentralError, match=message):
            read_nwb(tmp_path / f"{name}.nwb")
    write(tmp_path / "one.nwb").rename(tmp_path / "one.h5")
    assert is_nwb(tmp_path / "one.h5") and is_nwb("any.nwb") and not is_nwb(tmp_path / "no.h5")
    with pytest.raises(VentralError, match="is an NWB file; `read_nwb` reads it"):
        read(write(tmp_path / "one.nwb"))
