import numpy as np
import pytest

from ventralstream.assembly import assembly, check, time_bins, time_bins_of
from ventralstream.brain.mapping.alignment import align_time
from ventralstream.errors import VentralError


def steps(bins, presentations=2):
    """Features whose value is the step's number."""
    values = np.broadcast_to(np.arange(float(len(bins))), (presentations, 3, len(bins)))
    return assembly(values, stimulus_id=[f"s{i}" for i in range(presentations)], time_bins_ms=bins)


def test_steps_are_averaged_over_the_bin_they_lie_in():
    features, recordings = steps(time_bins(0, 100, 10)), steps([(0, 10), (20, 40), (70, 100), (25, 55)], 5)
    aligned = check(align_time(features, recordings))
    assert aligned.values[1, 2].tolist() == [0, 2.5, 8, 3.5] and aligned["n_steps"].values.tolist() == [1, 2, 3, 2]
    assert time_bins_of(aligned) == time_bins_of(recordings) and aligned.sizes["presentation"] == 2
    assert aligned["stimulus_id"].values.tolist() == ["s0", "s1"]


def test_neurons_may_be_later_than_the_model():
    aligned = align_time(steps(time_bins(0, 100, 10)), steps([(70, 80)]), delay_ms=50)
    assert aligned.values[0, 0].tolist() == [2]


def test_a_bin_without_a_step_is_named():
    features = steps(time_bins(0, 100, 10))
    for bin_, delay_ms in (((100, 110), 0), ((95, 105), 0), ((0, 10), 5), ((12, 18), 0)):
        message = f"no step within the time bin {bin_[0]} to {bin_[1]} ms; its steps are {delay_ms} to {delay_ms + 10}"
        with pytest.raises(VentralError, match=message):
            align_time(features, steps([(50, 70), bin_]), delay_ms=delay_ms)


def test_long_steps_stand_for_the_bins_nearest_to_their_start():
    cornet = steps([(100, 200), (200, 300)])  # docs/papers.md B.6: IT of CORnet-S
    aligned = align_time(cornet, steps([(70, 80), (140, 150), (150, 160), (160, 170), (240, 250)]), "nearest")
    assert aligned.values[0, 0].tolist() == [0, 0, 0, 1, 1]


def test_what_does_not_fit_is_said():
    features = steps(time_bins(0, 100, 10))
    flat = features.isel(time_bin=0, drop=True)
    with pytest.raises(VentralError, match="unknown way to match steps 'nearst'; did you mean 'nearest'"):
        align_time(features, features, "nearst")
    for pair in ((flat, features), (features, flat)):
        with pytest.raises(VentralError, match="not resolved in time"):
            align_time(*pair)
