import numpy as np
import pytest

from ventralstream.brain.recordings.spikes import count_spikes, from_spikes, repetition_numbers
from ventralstream.errors import VentralError


def test_spikes_are_counted_in_bins_of_any_width():
    rng = np.random.default_rng(0)
    raster = (rng.random((3, 2, 100)) < 0.2).astype(np.uint8)
    bins = [(-40, -30), (0, 1), (-5, 55), (10, 60), (59, 60)]
    counts = count_spikes(raster, 40, bins)
    for j, (start, end) in enumerate(bins):
        np.testing.assert_array_equal(counts[..., j], raster[..., 40 + start : 40 + end].sum(-1))
    assert counts.dtype == np.float64 and counts[..., 2].max() > 1


def test_a_bin_with_a_missing_sample_is_missing():
    raster = np.ones((1, 1, 30))
    raster[..., 12] = np.nan
    np.testing.assert_array_equal(count_spikes(raster, 0, [(0, 10), (10, 20), (20, 30)])[0, 0], [10, np.nan, 10])


def test_rasters_become_an_assembly_with_onset_at_an_edge():
    raster = np.zeros((4, 2, 57), dtype=bool)
    raster[1, 0, 25] = True  # the first sample after onset
    raster[1, 0, 24] = True  # the last before it
    made = from_spikes(raster, onset=25, stimulus_id=list("abab"), bin_ms=10, region="IT")
    assert made["time_bin_start"].values.tolist() == [-20, -10, 0, 10, 20]
    assert made["repetition"].values.tolist() == [0, 0, 1, 1]
    assert made.values[1, 0].tolist() == [0, 100, 100, 0, 0] and made.values.sum() == 200  # spikes/s
    assert made.attrs == {"unit": "spikes/s"}
    counts = from_spikes(raster, onset=25, stimulus_id=list("abab"), time_bins_ms=iter([(-20, 20)]), unit="spikes")
    assert counts.values[1, 0].tolist() == [2] and counts.attrs == {"unit": "spikes"}


def test_repetitions_are_numbered_as_they_come():
    assert repetition_numbers(["a", "b", "a", "a"]).tolist() == [0, 0, 1, 2]
    assert repetition_numbers(["a", "a", "a"], [1, 2, 1]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_bins_ms": [(0, 40)]}, "bin 0 to 40 ms lies outside the raster, which covers -20 to 30 ms"),
        ({"time_bins_ms": [(-21, 0)]}, "bin -21 to 0 ms lies outside"),
        ({"time_bins_ms": [(0, 2.5)]}, "not of whole milliseconds"),
        ({"bin_ms": 60}, "no whole bin of 60 ms"),
        ({"unit": "spike"}, "unknown unit 'spike'; did you mean 'spikes'"),
        ({"stimulus_id": ["a"]}, "1 values of 'stimulus_id' for 2"),
    ],
)
def test_what_does_not_fit_is_said(options, message):
    with pytest.raises(VentralError, match=message):
        from_spikes(np.zeros((2, 1, 50)), onset=20, **{"stimulus_id": ["a", "b"], **options})
    with pytest.raises(VentralError, match="a raster is"):
        from_spikes(np.zeros((2, 50)), onset=20, stimulus_id=["a", "b"])


def test_counts_of_any_size_and_none_below_zero():
    for dtype, value in ((np.uint8, 255), (np.int32, 2**31 - 1), (np.int64, 2**40), (np.uint64, 2**62)):
        assert count_spikes(np.full((1, 1, 4), value, dtype), 0, [(0, 4)]).item() == 4 * value
    for wrong in (np.array([[[1, -1]]], np.int8), np.array([[[1, np.inf]]]), [[[-1.0, np.nan]]]):
        with pytest.raises(VentralError, match="spikes are counts of at least 0"):
            from_spikes(wrong, onset=0, stimulus_id=["a"], bin_ms=1)
    for onset in (1.5, np.nan, "2"):
        with pytest.raises(VentralError, match="onset is"):
            from_spikes(np.zeros((1, 1, 4)), onset=onset, stimulus_id=["a"], bin_ms=1)
