import numpy as np
import pytest
from planted import at_one_time, model_areas, neurons
from scipy.stats import pearsonr
from sklearn.model_selection import ShuffleSplit

from ventralstream.assembly import assembly
from ventralstream.brain.correlation import median, pearson
from ventralstream.brain.recordings.reliability import (
    CORRECTIONS,
    Trials,
    correction_named,
    internal_consistency,
    spearman_brown,
)
from ventralstream.errors import VentralError


def recorded(**options):
    return neurons(model_areas(stimuli=80, steps=3)["IT"], count=9, **options)


def by_hand(recordings, time_bin):
    """Median over neuroids and mean over splits of 2r / (1 + r), in plain loops."""
    values, ids = recordings.values[..., time_bin], recordings["stimulus_id"].values
    repetition = recordings["repetition"].values
    per_split = []
    for first, second in ShuffleSplit(10, train_size=0.5, random_state=1).split(np.unique(repetition)):
        means = [
            [values[np.isin(repetition, half) & (ids == one)].mean(0) for one in np.unique(ids)]
            for half in (first, second)
        ]
        r = np.array([pearsonr(a, b)[0] for a, b in zip(*(np.array(m).T for m in means), strict=True)])
        per_split.append(np.median(2 * r / (1 + r)))
    return np.mean(per_split)


def test_internal_consistency_is_the_median_of_spearman_brown():
    recordings = recorded(repetitions=7, reliability=0.5)
    score = internal_consistency(recordings)
    assert score.value.values == pytest.approx([by_hand(recordings, t) for t in range(3)], abs=1e-12)
    assert score.per_split.shape == (10, 3) and score.per_neuroid.shape == (9, 3)
    assert score.n["repetitions"] == 7 and score.n["stimuli"] == 80 and score.reason == ""


def test_order_of_presentations_does_not_matter():
    recordings = recorded()
    order = np.random.default_rng(0).permutation(recordings.sizes["presentation"])
    mixed = internal_consistency(recordings.isel(presentation=order))
    assert mixed.value.values == pytest.approx(internal_consistency(recordings).value.values, abs=1e-12)


def test_it_finds_the_planted_reliability():
    score = internal_consistency(recorded(reliability=0.6, repetitions=20))
    assert score.value.values == pytest.approx(0.6, abs=0.08)


def test_a_missing_trial_is_left_out():
    recordings = recorded(repetitions=6)
    complete = internal_consistency(recordings).per_neuroid
    holes = recordings.copy(deep=True)
    holes.values[0, 2] = np.nan
    score = internal_consistency(holes).per_neuroid
    assert np.isfinite(score.values).all()
    same = np.arange(9) != 2
    assert (score.values[same] == complete.values[same]).all()
    assert score.values[2] == pytest.approx(complete.values[2], abs=0.05)


def test_repetitions_without_numbers_count_in_order():
    recordings = recorded(repetitions=4)
    assert (Trials.of(recordings.drop_vars("repetition")).repetition == recordings["repetition"].values).all()


def test_one_repetition_is_nan_with_the_reason():
    score = internal_consistency(at_one_time(recorded(repetitions=1)))
    assert np.isnan(float(score)) and "one repetition only" in score.reason


def test_neuroids_that_do_not_vary_are_counted_and_skipped():
    recordings = at_one_time(recorded())
    recordings.values[:, 0] = 3.0
    score = internal_consistency(recordings)
    assert score.n["neuroids_undefined"] == 1 and np.isnan(score.per_neuroid.values[0])
    assert float(score) == pytest.approx(np.median(score.per_neuroid.values[1:]), abs=0.03)


def test_spearman_brown_is_never_infinite():
    assert spearman_brown(0.5) == pytest.approx(2 / 3)
    assert spearman_brown(0.5, 3) == pytest.approx(0.75)
    assert np.isnan(spearman_brown(-1.0)) and not np.isinf(spearman_brown(np.linspace(-1, 1, 999))).any()


def test_corrections_are_the_published_formulas():
    values = {name: c.apply(0.6, 0.8) for name, c in CORRECTIONS.items() if c.apply}
    assert values == pytest.approx(
        {"raw": 0.6, "r_over_ceiling": 0.75, "r_over_ceiling_squared": 0.5625, "r2_over_ceiling": 0.45}
    )
    for c in CORRECTIONS.values():
        if c.apply:  # a perfect model reaches the root of the reliability
            assert c.apply(0.8**0.5, 0.8) == pytest.approx(c.perfect(0.8))
        assert c.perfect(1.0) == pytest.approx(1.0)
    with pytest.raises(VentralError, match="did you mean 'full_to_full'"):
        correction_named("full_to_ful")


def test_pearson_and_median_skip_what_is_undefined():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 30, 4))
    x[:, 1] = 5.0
    y[:, 2] = 1e6
    y[3, 3] = np.nan
    r = pearson(x, y)
    assert r[0] == pytest.approx(pearsonr(x[:, 0], y[:, 0])[0]) and np.isnan(r[1]) and np.isnan(r[2])
    assert r[3] == pytest.approx(pearsonr(np.delete(x[:, 3], 3), np.delete(y[:, 3], 3))[0])
    assert (pearson(x, y, constant=0.0)[1:3] == [0.0, np.nan]).tolist() == [True, False]
    assert median(np.array([[1.0, np.nan, 3.0, 8.0], [np.nan] * 4]), 1).tolist()[0] == 3.0
    assert np.isnan(median(np.array([[np.nan, np.nan]]), 1)).all()


def test_an_assembly_is_needed():
    with pytest.raises(VentralError, match="dimensions presentation, neuroid"):
        internal_consistency(assembly(np.ones((2, 2)), stimulus_id=["a", "b"]).rename(neuroid="neuron"))
