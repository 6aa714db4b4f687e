import numpy as np
import pytest
import xarray

from ventralstream.assembly import assembly, check, time_bins
from ventralstream.brain.recordings.presentations import Exclusions, align, mean_repetitions, rebin, select, usable
from ventralstream.errors import VentralError

NAN = np.nan


def small(values=None, ids=("b", "a", "b", "a"), **options):
    values = np.arange(len(ids) * 3.0).reshape(len(ids), 3) if values is None else values
    return assembly(values, stimulus_id=ids, region=["V4", "IT", "IT"], repetition=[0, 0, 1, 1][: len(ids)], **options)


def test_an_assembly_has_plain_coordinates_with_brain_scores_names():
    made = assembly(
        np.zeros((2, 3, 2), dtype=np.int16),
        stimulus_id=[7, 8],
        region="IT",
        object_name=["dog", "cat"],
        time_bins_ms=[(70, 80), (80, 90)],
        presentation={"size": [1.5, 2.5]},
        neuroid={"animal": ["x", "y", "z"]},
        attrs={"unit": "spikes/s"},
    )
    assert made.dims == ("presentation", "neuroid", "time_bin") and made.dtype == np.float64
    assert not made.indexes
    assert made["stimulus_id"].values.tolist() == ["7", "8"]
    assert made["neuroid_id"].values.tolist() == ["0", "1", "2"]
    assert made["region"].values.tolist() == ["IT"] * 3
    assert made["time_bin_end"].values.tolist() == [80, 90]
    assert {n: made[n].dims[0] for n in ("size", "animal", "object_name")} == {
        "size": "presentation",
        "animal": "neuroid",
        "object_name": "presentation",
    }
    assert assembly(np.zeros((1, 1), np.float32), stimulus_id=["a"]).dtype == np.float32


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros(3), {}, r"got float64 of shape \[3\]"),
        (np.zeros((2, 3)), {"stimulus_id": ["a"]}, "1 values of 'stimulus_id' for 2 of dimension 'presentation'"),
        (np.zeros((2, 3)), {"neuroid": {"animal": ["x"]}}, "1 values of 'animal' for 3 of dimension 'neuroid'"),
        (np.zeros((2, 3, 1)), {}, "time_bins_ms belongs to responses of three dimensions"),
        (np.zeros((2, 3, 1)), {"time_bins_ms": [(10, 0)]}, "time bin 10 to 0 ms ends before it starts"),
        (np.array([[1, np.inf], [1, 2]]), {}, "1 responses are infinite"),
        (np.zeros((2, 1)), {"object_name": [["a", "b"], ["c", "d"]]}, "a coordinate is a list of values"),
    ],
)
def test_what_does_not_fit_is_said(values, options, message):
    with pytest.raises(VentralError, match=message):
        assembly(values, **{"stimulus_id": ["a", "b"], **options})


def test_what_is_no_assembly_is_said():
    made = small()
    for wrong, message in (
        (made.rename(neuroid="neuron"), "got presentation, neuron"),
        (made.values, "expected an assembly .* got ndarray"),
        (made.astype(complex), "holds floats, got complex128"),
        (made.astype(str), "holds floats, got <U"),
        (made[:0], "the assembly is empty: 0 presentations, 3 neuroids"),
        (made.drop_vars("neuroid_id"), "lacks the coordinate 'neuroid_id' on its dimension 'neuroid'"),
    ):
        with pytest.raises(VentralError, match=message):
            check(wrong)


def test_bins_are_on_a_grid_through_onset():
    assert time_bins(-25, 25, 10) == [(-20, -10), (-10, 0), (0, 10), (10, 20)]
    assert time_bins(0, 0.3, 0.1) == pytest.approx(np.array([(0, 0.1), (0.1, 0.2), (0.2, 0.3)]))
    with pytest.raises(VentralError, match="no whole bin of 40 ms lies between 10 and 60 ms"):
        time_bins(10, 60, 40)


def test_rebin_averages_rates_and_adds_counts_of_bins_that_fill_the_target():
    bins = [(0, 10), (10, 20), (20, 40)]
    rates = assembly([[[1.0, 3.0, 9.0]]], stimulus_id=["a"], time_bins_ms=bins, attrs={"unit": "spikes/s"})
    wide = rebin(rates, [(0, 20), (0, 40), (20, 40)])
    assert wide.values.tolist() == [[[2, (1 * 10 + 3 * 10 + 9 * 20) / 40, 9]]]
    assert wide["time_bin_end"].values.tolist() == [20, 40, 40] and wide.attrs == rates.attrs
    counts = rebin(rates.assign_attrs(unit="spikes"), [(0, 40)])
    assert counts.values.item() == 13
    for gap in ((5, 20), (0, 30), (40, 50)):
        with pytest.raises(VentralError, match=f"do not fill the bin {gap[0]} to {gap[1]} ms"):
            rebin(rates, [gap])
    with pytest.raises(VentralError, match="not resolved in time"):
        rebin(small(), [(0, 10)])


def test_select_picks_by_values_collections_and_ranges():
    made = small()
    assert select(made, region="IT").shape == (4, 2)
    assert select(made, region="IT", repetition=range(1), stimulus_id=["a"]).values.tolist() == [[4, 5]]
    assert select(made, repetition=slice(1, None)).shape == (2, 3)
    assert select(made, repetition=np.array([1])).values[:, 0].tolist() == [6, 9]
    for wanted, message in (
        ({"regoin": "IT"}, "unknown coordinate 'regoin'; did you mean 'region'"),
        ({"region": "It"}, "unknown region 'It'; did you mean 'IT'"),
        ({"stimulus_id": ["a", "z"]}, "unknown stimulus_id 'z'"),
        ({"repetition": slice(5, 9)}, "no presentation has 'repetition' in slice"),
    ):
        with pytest.raises(VentralError, match=message):
            select(made, **wanted)


def test_repetitions_are_averaged_in_the_order_stimuli_come_without_what_is_missing():
    values = np.array([[1.0, NAN, 3], [10, 20, 30], [3, NAN, 5], [20, NAN, 50]])
    made = small(values, object_name=["dog", "cat", "dog", "cat"], presentation={"day": [1, 1, 2, 1]})
    mean = mean_repetitions(made)
    np.testing.assert_array_equal(mean.values, [[2, NAN, 4], [15, 20, 40]])
    assert mean["stimulus_id"].values.tolist() == ["b", "a"]
    assert mean["object_name"].values.tolist() == ["dog", "cat"]
    assert mean["n_repetitions"].values.tolist() == [2, 2]
    assert "repetition" not in mean.coords and "day" not in mean.coords and "region" in mean.coords
    check(mean)


def test_averaging_agrees_with_numpy_in_three_dimensions():
    rng = np.random.default_rng(0)
    ids = rng.permutation(np.repeat([f"s{i}" for i in range(7)], [1, 2, 3, 4, 5, 6, 7]))
    values = rng.normal(size=(28, 4, 3)).astype(np.float32)
    mean = mean_repetitions(assembly(values, stimulus_id=ids, time_bins_ms=time_bins(0, 30, 10)))
    assert mean["stimulus_id"].values.tolist() == list(dict.fromkeys(ids.tolist()))
    for i, id_ in enumerate(mean["stimulus_id"].values):
        np.testing.assert_allclose(mean.values[i], values[ids == id_].mean(0), rtol=1e-5, atol=1e-6)


def test_features_are_brought_to_the_recordings_presentations():
    features = small(ids=("c", "a", "b"))
    recordings = small()
    aligned = align(features, recordings)
    assert aligned["stimulus_id"].values.tolist() == ["b", "a", "b", "a"]
    assert aligned.values[:, 0].tolist() == [6, 3, 6, 3]
    assert align(features, features) is features
    with pytest.raises(VentralError, match=r"1 of the 2 recorded stimuli have no features, e.g. 'a'; the features are"):
        align(small(ids=("b",)), recordings)
    with pytest.raises(VentralError, match="stimulus 'b' is 2 times among the features"):
        align(recordings, recordings)


def test_neuroids_that_cannot_be_scored_are_left_out_and_counted():
    values = np.random.default_rng(0).normal(size=(6, 5, 2))
    values[:, 1] = 0.1  # constant in each bin
    values[:, 1, 1] = [0.3, 0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]  # rounding only
    values[2, 3, 1] = NAN
    values[:, 4, 0] = 0  # silent in one bin only: kept
    made = assembly(values, stimulus_id=list("abcdef"), time_bins_ms=[(0, 10), (10, 20)])
    kept, left_out = usable(made)
    assert kept["neuroid_id"].values.tolist() == ["0", "2", "4"]
    assert left_out == Exclusions(5, missing=("3",), no_variance=("1",)) and left_out.kept == 3
    assert str(left_out) == "2 of 5 neuroids left out: 1 with missing responses (3), 1 without variance (1)"
    assert str(usable(kept)[1]) == "all 3 neuroids are usable"
    with pytest.raises(VentralError, match=r"no neuroid is usable: 5 of 5 .* \(0, 1, 2, ...\)"):
        usable(made * NAN)


def test_functions_leave_their_arguments_as_they_are():
    made = small()
    before = made.copy(deep=True)
    mean_repetitions(made), select(made, region="IT"), usable(made), align(mean_repetitions(made), made)
    xarray.testing.assert_identical(made, before)
