import numpy as np
import pytest

from ventralstream.brain import assembly
from ventralstream.brain.recordings.decoding import decoded_over_time
from ventralstream.errors import VentralError


def recordings(signal, repetitions=10, neurons=30, seed=0):
    """Three objects; the neurons tell them apart by `signal` in each of the time bins."""
    rng = np.random.default_rng(seed)
    objects = np.repeat(["bear", "boat", "bread"], repetitions)
    patterns = rng.normal(size=(3, neurons))[np.repeat(np.arange(3), repetitions)]
    values = patterns[..., None] * signal + rng.normal(size=(len(objects), neurons, len(signal)))
    return assembly(
        values,
        stimulus_id=objects,
        object_name=objects,
        repetition=np.tile(np.arange(repetitions), 3),
        time_bins_ms=[(10 * i, 10 * (i + 1)) for i in range(len(signal))],
    )


def test_what_is_planted_is_read_and_no_more():
    right = decoded_over_time(recordings(np.array([0.0, 2.0, 0.0]), repetitions=40))
    assert right.dims == ("presentation", "time_bin") and right.attrs["chance"] == 1 / 3
    before, during, after = right.mean("presentation").values
    assert during == 1 and abs(before - 1 / 3) < 0.15 and abs(after - 1 / 3) < 0.15
    assert right["time_bin_end"].values.tolist() == [10, 20, 30] and "object_name" in right.coords


def test_a_trial_does_not_train_its_own_test():
    """With as many neurons as this, patterns that held the test trials would be found again in pure noise."""
    right = decoded_over_time(recordings(np.zeros(1), repetitions=10, neurons=2000))
    assert float(right.mean()) < 0.6


def test_missing_and_silent_responses():
    planted = recordings(np.array([2.0, 2.0]))
    planted[3, 5] = np.nan  # one trial of a neuron
    planted[:, 6] = 0  # a neuron without a spike
    planted[..., 1] = 7.0  # a time bin in which nothing varies
    right = decoded_over_time(planted)
    assert right.values[:, 0].all() and np.isnan(right.values[:, 1]).all()


def test_the_same_whatever_the_scale_of_a_neuron():
    planted = recordings(np.array([0.3]))
    scaled = planted * np.geomspace(1e-3, 1e3, planted.sizes["neuroid"])[None, :, None]
    np.testing.assert_array_equal(decoded_over_time(planted), decoded_over_time(scaled))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r.isel(time_bin=0, drop=True), {}), "not resolved in time"),
        (lambda r: (r, {"label": "objct_name"}), "did you mean 'object_name'"),
        (lambda r: (r, {"folds": 11}), "11 folds of 10 repetitions"),
        (lambda r: (r, {"folds": 1}), "1 folds"),
        (lambda r: (r.isel(presentation=slice(0, 10)), {}), "'object_name' is 'bear' everywhere"),
    ],
)
def test_mistakes_are_one_sentence(change, message):
    given, options = change(recordings(np.ones(2)))
    with pytest.raises(VentralError, match=message):
        decoded_over_time(given, **options)
