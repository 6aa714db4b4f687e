import numpy as np
import pandas as pd
import pytest
import xarray

from ventralstream.assembly import assembly
from ventralstream.brain.recordings.netcdf import plain, read, with_stimulus_table, write
from ventralstream.brain.recordings.presentations import select
from ventralstream.errors import VentralError


def recorded():
    rng = np.random.default_rng(0)
    return assembly(
        np.where(rng.random((6, 3, 2)) < 0.1, np.nan, rng.normal(size=(6, 3, 2))),
        stimulus_id=list("abcabc"),
        repetition=[0, 0, 0, 1, 1, 1],
        object_name=["dog", "cat", "cät"] * 2,
        region=["V4", "IT", "IT"],
        time_bins_ms=[(70, 80), (80, 90)],
        presentation={"correct": np.array([True, False] * 3)},
        neuroid={"x": [0.5, 1.5, np.nan]},
        attrs={"unit": "spikes/s", "bins": [1, 2]},
    )


def brain_scores(array):
    """As Brain-Score holds an assembly: all coordinates of a dimension in one MultiIndex."""
    levels = {d: [n for n, c in array.coords.items() if c.dims == (d,)] for d in array.dims}
    return array.set_index({d: names for d, names in levels.items() if names})


def brain_score_writes(array, path, name="data"):
    """As Brain-Score's packaging writes one: indexes undone, one compressed variable, attributes on both."""
    flat = array.reset_index(list(array.indexes))
    dataset = flat.to_dataset(name=name, promote_attrs=True)
    dataset.to_netcdf(path, engine="h5netcdf", encoding={name: {"zlib": True, "complevel": 9}})
    return path


def test_what_is_written_is_read_back(tmp_path):
    made = recorded()
    write(made, tmp_path / "a.nc")
    back = read(tmp_path / "a.nc")
    np.testing.assert_array_equal(back.attrs.pop("bins"), made.attrs.pop("bins"))
    xarray.testing.assert_identical(back, made)
    assert back["correct"].dtype == bool and back["object_name"].dtype.kind == "U"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.nc"]


def test_brain_scores_way_of_loading_reads_what_we_write(tmp_path):
    made = recorded()
    write(made, tmp_path / "a.nc")
    with xarray.open_dataarray(tmp_path / "a.nc", engine="h5netcdf") as loaded:
        gathered = brain_scores(loaded.load())
    assert set(gathered.indexes["presentation"].names) == {"stimulus_id", "repetition", "object_name", "correct"}
    assert gathered.sel(region="IT").sizes["neuroid"] == 2 and gathered.sel(time_bin_start=70).size == 18


@pytest.mark.parametrize("name", ["data", "__xarray_dataarray_variable__"])
def test_brain_scores_files_are_read(tmp_path, name):
    made = recorded()
    path = brain_score_writes(
        brain_scores(made).transpose("neuroid", "presentation", "time_bin"), tmp_path / "b.nc", name
    )
    back = read(path)
    np.testing.assert_array_equal(back.attrs.pop("bins"), made.attrs.pop("bins"))
    xarray.testing.assert_identical(back, made)


def test_a_brain_score_assembly_in_memory_becomes_plain():
    made = recorded()
    xarray.testing.assert_identical(plain(brain_scores(made)), made)
    counts = brain_scores(made.fillna(0).astype(np.int64))
    assert plain(counts).dtype == np.float64


def test_older_names_are_understood(tmp_path):
    old = xarray.DataArray(
        np.arange(6).reshape(2, 3),
        dims=("neuroid", "presentation"),
        coords={"neuroid_": ("neuroid", ["n0", "n1"]), "image_id": ("presentation", [5, 6, 7])},
    )
    old.to_netcdf(tmp_path / "old.nc", engine="scipy")  # NetCDF 3
    back = read(tmp_path / "old.nc")
    assert back.values.tolist() == [[0, 3], [1, 4], [2, 5]] and back.dtype == np.float64
    assert back["neuroid_id"].values.tolist() == ["n0", "n1"] and "neuroid_" not in back.coords
    assert back["stimulus_id"].values.tolist() == ["5", "6", "7"]


def test_part_of_a_large_file_is_read_alone(tmp_path):
    made = recorded()
    path = brain_score_writes(made.transpose("neuroid", "presentation", "time_bin"), tmp_path / "c.nc")
    lazy = read(path, load=False)
    assert not lazy.variable._in_memory and lazy.dims == made.dims
    part = select(lazy, region="V4", repetition=1)
    assert not part.variable._in_memory
    np.testing.assert_array_equal(part.values, made.values[3:, :1])


def test_a_table_of_stimuli_is_merged_as_brain_score_does(tmp_path):
    made = recorded()
    table = pd.DataFrame(
        {
            "image_id": list("cab"),
            "object_name": list("xyz"),
            "size": [3, 1, 2],
            "filename": ["c.png", "a.png", "b.png"],
        }
    )
    merged = with_stimulus_table(made, table)
    assert merged["size"].values.tolist() == [1, 2, 3] * 2
    assert merged["filename"].values.tolist() == ["a.png", "b.png", "c.png"] * 2
    assert merged["object_name"].values.tolist() == made["object_name"].values.tolist()  # its own stay
    write(merged, tmp_path / "m.nc")
    assert read(tmp_path / "m.nc")["filename"].values.tolist() == merged["filename"].values.tolist()
    with pytest.raises(VentralError, match=r"1 of the stimuli presented are not in the table, e.g. 'b'"):
        with_stimulus_table(made, table[:2])
    with pytest.raises(VentralError, match="no column 'stimulus_id'"):
        with_stimulus_table(made, {"size": [1]})


def test_bad_files_are_said_in_a_sentence(tmp_path):
    (tmp_path / "text.nc").write_text("no NetCDF")
    write(recorded(), tmp_path / "whole.nc")
    (tmp_path / "cut.nc").write_bytes((tmp_path / "whole.nc").read_bytes()[:2000])
    xarray.Dataset({"a": 1, "b": 2}).to_netcdf(tmp_path / "two.nc", engine="h5netcdf")
    recorded().drop_vars("stimulus_id").to_netcdf(tmp_path / "nameless.nc", engine="h5netcdf")
    for name, message in (
        ("absent.nc", "do not exist"),
        ("text.nc", "is not a NetCDF file"),
        ("cut.nc", "cannot be read as NetCDF"),
        ("two.nc", "holds 2 variables"),
        ("nameless.nc", "lacks the coordinate 'stimulus_id'"),
    ):
        with pytest.raises(VentralError, match=message) as caught:
            read(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    made = recorded()
    with pytest.raises(VentralError, match="the attribute 'table' is DataFrame"):
        write(made.assign_attrs(table=pd.DataFrame()), tmp_path / "a.nc")
    with pytest.raises(VentralError, match="cannot write"):
        write(made, tmp_path / "no folder" / "a.nc")
    mixed = made.assign_coords(mixed=("neuroid", np.array(["a", 1.5, None], dtype=object)))
    with pytest.raises(VentralError, match="cannot write"):
        write(mixed, tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_units_of_time_and_names_with_spaces(tmp_path):
    made = recorded().assign_coords({"neuron depth": ("neuroid", [1.0, 2.0, 3.0])})
    seconds = made.copy()
    for name in ("time_bin_start", "time_bin_end"):
        seconds = seconds.assign_coords({name: ("time_bin", made[name].values / 1000, {"units": "s"})})
    with pytest.warns(xarray.SerializationWarning, match="space in its name"):
        seconds.to_dataset(name="data").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    back = read(tmp_path / "s.nc")
    np.testing.assert_allclose(back["time_bin_start"], made["time_bin_start"])
    assert back["neuron depth"].values.tolist() == [1, 2, 3]
    seconds["time_bin_end"].attrs["units"] = "frames"
    seconds.drop_vars("neuron depth").to_dataset(name="data").to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    with pytest.raises(VentralError, match="the unit of 'time_bin_end' is 'frames'"):
        read(tmp_path / "f.nc")
