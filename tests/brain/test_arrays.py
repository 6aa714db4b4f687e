"""Arrays as people have them: masked, nullable, of bytes, cells and categories, with names missing or padded."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from ventralstream import brain
from ventralstream.arrays import as_column, as_floats, as_names, distinct
from ventralstream.assembly import assembly, check, names_of, time_bins_of
from ventralstream.brain.behaviour.accuracy import accuracy_curve
from ventralstream.errors import VentralError

RNG = np.random.default_rng(0)


def cell(*texts):
    """A cell array as scipy.io.loadmat gives it."""
    cells = np.empty((len(texts), 1), dtype=object)
    for i, text in enumerate(texts):
        cells[i, 0] = np.array([text])
    return cells


NAMES = {
    "bytes": np.array([b"a", b"b"]),
    "objects of bytes": [b"a", b"b"],
    "cells": cell("a", "b"),
    "cells in a row": cell("a", "b").T,
    "padded": np.array(["a  ", "b\0"]),
    "characters": np.array([["a", " "], ["b", " "]]),
    "categories": pd.Categorical(["a", "b"]),
    "pandas' text": pd.Series(["a", "b"], dtype="string"),
    "NumPy's text": np.array(["a", "b"], dtype=np.dtypes.StringDType()),
    "xarray": xr.DataArray(["a", "b"]),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_names_of_any_kind_are_the_same_names(names):
    made = assembly([[1.0], [2.0]], stimulus_id=names, neuroid_id=["n"])
    assert made["stimulus_id"].dtype.kind == "U" and made["stimulus_id"].values.tolist() == ["a", "b"]


def test_whole_numbers_are_names_however_they_are_written():
    for ids in ([1, 2], [1.0, 2.0], ["1", "2"], np.array(["1 ", "2 "]), pd.array([1, 2], dtype="Int64")):
        assert as_names(ids).tolist() == ["1", "2"]
    features = assembly([[1.0], [2.0]], stimulus_id=[2, 1])
    recordings = xr.DataArray(
        [[1], [2]],
        dims=("presentation", "neuroid"),
        coords={"stimulus_id": ("presentation", ["1", "2"]), "neuroid_id": ("neuroid", [7])},
    )
    assert brain.align(features, recordings).values.ravel().tolist() == [2, 1]
    assert brain.select(recordings, stimulus_id=2).values.tolist() == [[2]]


NAMELESS = {
    "None": ["a", None, "b"],
    "NaN": ["a", np.nan, "b"],
    "NaN as text": np.array(["a", np.nan, "b"]),
    "NA": pd.Series(["a", pd.NA, "b"], dtype="string"),
    "NaT": pd.to_datetime(["2020-01-01", None, "2020-01-02"]),
    "empty": ["a", "", "b"],
    "space": ["a", " ", "b"],
    "masked": np.ma.array(["a", "x", "b"], mask=[0, 1, 0]),
    "a float among numbers": [1.0, np.nan, 2.0],
    "an empty cell": cell("a", "", "b"),
}


@pytest.mark.parametrize("names", NAMELESS.values(), ids=NAMELESS.keys())
def test_trials_without_a_stimulus_are_counted_and_not_pooled(names):
    with pytest.raises(VentralError, match=r"1 of 3 presentations have no 'stimulus_id'.* number 2"):
        assembly(np.ones((3, 1)), stimulus_id=names)
    names = names.filled("") if isinstance(names, np.ma.MaskedArray) else names  # xarray would lose the mask
    coords = {
        "stimulus_id": ("presentation", np.asarray(names, dtype=object).ravel()),
        "neuroid_id": ("neuroid", ["n"]),
    }
    by_hand = xr.DataArray(np.ones((3, 1)), dims=("presentation", "neuroid"), coords=coords)
    for call in (brain.mean_repetitions, brain.internal_consistency, brain.rdm):
        with pytest.raises(VentralError, match="1 of 3 presentations have no 'stimulus_id'"):
            call(by_hand)


MASKED = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
NUMBERS = {
    "masked": MASKED,
    "masked rows in a list": [MASKED[0], MASKED[1]],
    "masked floats": MASKED.astype(np.float32),
    "objects": [[1, None], [3, 4]],
    "nullable": pd.DataFrame({0: pd.array([1, 3]), 1: pd.array([None, 4], dtype="Int64")}),
    "a tensor": torch.tensor([[1, torch.nan], [3, 4]], requires_grad=True),
    "half": np.array([[1, np.nan], [3, 4]], dtype=np.float16),
}


@pytest.mark.parametrize("values", NUMBERS.values(), ids=NUMBERS.keys())
def test_what_is_masked_or_missing_is_nan(values):
    np.testing.assert_array_equal(as_floats(values), [[1, np.nan], [3, 4]])
    np.testing.assert_array_equal(assembly(values, stimulus_id=["a", "b"]).values, [[1, np.nan], [3, 4]])


@pytest.mark.parametrize("values", [[[1j]], [["a"]], [[np.datetime64("2020-01-01")]], [[1.0], [1.0, 2.0]], [[{}]]])
def test_what_is_no_number_is_a_sentence(values):
    with pytest.raises(VentralError, match="responses"):
        assembly(values, stimulus_id=["a"])


def recorded(values, **options):
    ids = [f"image{i:02}" for i in range(40)] * 4
    return assembly(values, stimulus_id=ids, repetition=np.repeat(np.arange(4), 40), **options)


def test_a_mask_scores_as_nan_does():
    signal = RNG.normal(size=(40, 3))
    values = np.concatenate([signal + 0.3 * RNG.normal(size=signal.shape) for _ in range(4)])
    holes = RNG.random(values.shape) < 0.1
    masked = np.ma.array(np.where(holes, 9999.0, values), mask=holes)
    features = assembly(signal, stimulus_id=[f"image{i:02}" for i in range(40)])
    scores = [
        float(brain.predictivity(features, recorded(v), "ridge", splits=3, resamples=0))
        for v in (masked, np.where(holes, np.nan, values))
    ]
    assert scores[0] == scores[1] > 0.8


def test_masked_answers_spikes_and_dissimilarities_are_missing():
    answers = np.ma.array([1, 0, 1, 1], mask=[0, 0, 0, 1])
    assert accuracy_curve(answers, [0, 0, 1, 1], x_name="x").n.tolist() == [2, 1]
    spikes = np.ma.array(np.ones((2, 1, 20), dtype=int), mask=np.zeros((2, 1, 20)))
    spikes[0, 0, 3] = np.ma.masked
    made = brain.from_spikes(spikes, onset=10, stimulus_id=["a", "b"], unit="spikes")
    np.testing.assert_array_equal(made.values[:, 0], [[np.nan, 10], [10, 10]])
    square = np.ma.array(np.zeros((3, 3)), mask=np.eye(3)[::-1] * (1 - np.eye(3)))
    assert np.isnan(brain.Rdm.from_square(square, ["a", "b", "c"], "correlation").values).sum() == 1


def test_no_coordinate_name_is_reserved():
    names = ("position", "n_repetitions", "n_steps", "rank", "row", "index", "split", "bound", "model", "value", "data")
    names += ("stimulus", "feature", "target", "choice", "truth", "name", "level", "fold", "recordings", "image_id")
    signal = RNG.normal(size=(40, 3, 2))
    values = np.concatenate([signal + 0.3 * RNG.normal(size=signal.shape) for _ in range(4)])
    features = assembly(signal, stimulus_id=[f"image{i:02}" for i in range(40)], time_bins_ms=[(0, 10), (10, 20)])
    bare = recorded(values, time_bins_ms=[(0, 10), (10, 20)])
    for dim, size in bare.sizes.items():
        dressed = bare.assign_coords({name: (dim, [f"{name}{i // 160}" for i in range(size)]) for name in names})
        how = {"mapping": "ridge", "splits": 3, "resamples": 20}
        score, plain = brain.predictivity(features, dressed, **how), brain.predictivity(features, bare, **how)
        np.testing.assert_array_equal(score.value.values, plain.value.values)
        kept = set(brain.mean_repetitions(dressed).coords)
        assert set(names) <= kept and set(names) <= set(brain.usable(brain.mean_repetitions(dressed))[0].coords)
        np.testing.assert_array_equal(
            brain.time_courses({"m": features}, dressed, **how)["raw"].values[0], plain.raw.values
        )
        assert brain.select(dressed, **{n: f"{n}0" for n in names}).shape == bare.shape
        (
            brain.internal_consistency(dressed),
            brain.align_time(features, dressed),
            brain.assign_areas({"m": features}, dressed, **how),
        )


def test_any_coordinate_is_written_and_read(tmp_path):
    made = assembly([[1.0, 2.0]], stimulus_id=["a"], neuroid={"data": ["x", "y"]}, presentation={"position": ["left"]})
    brain.write(made, tmp_path / "made.nc")
    again = brain.read(tmp_path / "made.nc")
    assert again["data"].values.tolist() == ["x", "y"] and again["position"].values.tolist() == ["left"]
    for coordinates in ({"neuroid": {"day": [1, 2]}, "presentation": {"day": [1]}}, {"presentation": {"neuroid": [1]}}):
        with pytest.raises(VentralError, match="cannot be called"):
            assembly([[1.0, 2.0]], stimulus_id=["a"], **coordinates)


def test_names_in_another_unicode_form_are_found():
    composed, apart = (
        unicodedata.normalize(form, "caf\N{LATIN SMALL LETTER E WITH ACUTE}.png") for form in ("NFC", "NFD")
    )
    assert composed != apart
    features = assembly([[1.0], [2.0]], stimulus_id=[apart, "b"])
    recordings = assembly([[1.0], [2.0], [3.0]], stimulus_id=["b", composed, apart])
    assert brain.align(features, recordings).values.ravel().tolist() == [2, 1, 1]
    assert brain.mean_repetitions(recordings).values.ravel().tolist() == [1, 2.5]
    assert features["stimulus_id"].values.tolist() == [apart, "b"]  # as the file is called
    assert brain.select(features, stimulus_id=composed).values.tolist() == [[1]]


def test_an_assembly_may_come_in_any_order_and_with_an_index_of_several_levels():
    made = recorded(RNG.normal(size=(160, 2, 3)), time_bins_ms=[(20, 30), (0, 10), (10, 20)])
    levels = {"presentation": ["stimulus_id", "repetition"], "time_bin": ["time_bin_start", "time_bin_end"]}
    indexed = made.set_index(levels).transpose("time_bin", "neuroid", "presentation")
    xr.testing.assert_identical(check(indexed), made)
    xr.testing.assert_identical(brain.mean_repetitions(indexed), brain.mean_repetitions(made))
    np.testing.assert_array_equal(brain.internal_consistency(indexed).value, brain.internal_consistency(made).value)
    whole = made.astype(int)
    assert check(whole).dtype == np.float64 and check(made.astype(np.float16)).dtype == np.float64


def test_infinite_responses_are_refused_where_they_enter():
    broken = recorded(np.ones((160, 2))).copy(data=np.full((160, 2), np.inf))
    for call in (brain.mean_repetitions, brain.internal_consistency):
        with pytest.raises(VentralError, match="responses are infinite"):
            call(broken)


def test_time_bins_twice_among_the_features_are_refused():
    twice = assembly(np.ones((40, 2, 2)), stimulus_id=[f"image{i:02}" for i in range(40)], time_bins_ms=[(0, 10)] * 2)
    recordings = recorded(RNG.normal(size=(160, 2, 1)), time_bins_ms=[(0, 10)])
    with pytest.raises(VentralError, match="time bin 0 to 10 ms more than once"):
        brain.predictivity(twice, recordings, "ridge")


def test_columns_and_groups():
    assert as_column([1, None]).tolist()[0] == 1 and np.isnan(as_column([1, None])[1])
    values, index = distinct([10, 9, 10])
    assert values.tolist() == [9, 10] and index.tolist() == [1, 0, 1]  # as numbers, not as text
    with pytest.raises(VentralError, match="1 of 2 trials have no subject"):
        distinct([1.0, np.nan], "trials have no subject")
    with pytest.raises(VentralError, match="a coordinate is a list of values"):
        as_column([[1, 2], [3, 4]])
    people = xr.DataArray([1.0, 0.0], dims="presentation", coords={"subject": ("presentation", ["a", None])})
    with pytest.raises(VentralError, match="1 of 2 presentations have no 'subject'"):
        names_of(people, "subject")


def test_whole_numbers_that_became_floats_are_not_pooled():
    pandas_ = pd.Series([2**53 + 1, 2**53 + 2, None])[:2]  # a missing one makes all of them floats
    with pytest.raises(VentralError, match=r"2 names are floats .* too large to tell"):
        assembly(np.ones((2, 1)), stimulus_id=pandas_)
    assert as_names(pd.Series([2**53 + 1, 2**53 + 2])).tolist() == [str(2**53 + 1), str(2**53 + 2)]


def test_tensors_of_any_kind_and_numbers_too_large():
    for x in (torch.ones(2, dtype=torch.bfloat16), torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.half)):
        np.testing.assert_array_equal(as_floats(x), [1, 1])
    with pytest.raises(VentralError, match="too large for a float"):
        as_floats([10**400])


def test_times_of_bins_in_another_unit():
    made = recorded(RNG.normal(size=(160, 2, 2)), time_bins_ms=[(0, 10), (10, 20)])
    for name in ("time_bin_start", "time_bin_end"):
        made = made.assign_coords({name: ("time_bin", pd.to_timedelta(made[name].values, unit="ms"))})
    assert time_bins_of(made) == [(0, 10), (10, 20)]
    for wrong in ([1, 2], [(1, 2, 3)], [(0, np.nan)], [("a", "b")], 3):
        with pytest.raises(VentralError, match="time bins are pairs"):
            assembly(np.ones((1, 1, 1)), stimulus_id=["a"], time_bins_ms=wrong)


def test_coordinates_of_two_dimensions_and_slices_of_text():
    made = recorded(RNG.normal(size=(160, 2)))
    marked = made.assign_coords(depth=(("presentation", "neuroid"), np.zeros((160, 2))))
    xr.testing.assert_identical(brain.mean_repetitions(marked), brain.mean_repetitions(made))
    with pytest.raises(VentralError, match="'stimulus_id' is text, which cannot be compared with slice"):
        brain.select(made, stimulus_id=slice(1, 3))
