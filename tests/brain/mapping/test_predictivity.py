import numpy as np
import pytest
from planted import at_one_time, bins_ms, model_areas, neurons, shuffled
from scipy.stats import pearsonr
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import StratifiedShuffleSplit

from ventralstream.assembly import assembly
from ventralstream.brain.mapping.pls import PLS
from ventralstream.brain.mapping.predictivity import predictivity
from ventralstream.brain.mapping.ridge import Ridge, RidgeCV
from ventralstream.brain.recordings.presentations import mean_repetitions
from ventralstream.brain.recordings.reliability import CORRECTIONS, internal_consistency
from ventralstream.brain.splits import train_test_splits
from ventralstream.errors import VentralError

MAPPINGS = {"pls": PLS(5), "ridge": Ridge(), "ridge_cv": RidgeCV((0.1, 1.0, 10.0, 100.0))}
QUICK = {"halvings": 4, "resamples": 100}


@pytest.fixture(scope="module")
def areas():
    return model_areas(stimuli=300, channels=5, steps=3)


@pytest.fixture(scope="module")
def recordings(areas):
    return neurons(areas["IT"], count=24, reliability=0.8)


def median_r(prediction, truth):
    return np.median([pearsonr(p, t)[0] for p, t in zip(prediction.T, truth.T, strict=True)])


# ---------------------------------------------------------------- equal to plain loops over scikit-learn and scipy


@pytest.mark.parametrize(("mapping", "theirs"), [(PLS(3), PLSRegression(3, scale=False)), (Ridge(), SklearnRidge(1.0))])
@pytest.mark.parametrize("constant", [False, True])
def test_per_bin_equals_plain_loops(areas, recordings, mapping, theirs, constant):
    features = at_one_time(areas["V4"] + areas["IT"]) if constant else areas["V4"] + areas["IT"]
    options = {"correction": "raw", "stratify": "object_name", "splits": 4, "resamples": 0}
    score = predictivity(features, recordings, mapping, **options)
    mean = mean_repetitions(recordings)
    splits = StratifiedShuffleSplit(4, train_size=0.9, random_state=1).split(mean, mean["object_name"].values)
    r = []
    for train, test in splits:
        r.append([])
        for t in range(3):
            x, y = features.values if constant else features.values[..., t], mean.values[..., t]
            r[-1].append(median_r(theirs.fit(x[train], y[train]).predict(x[test]), y[test]))
    assert score.per_split.values == pytest.approx(np.array(r), abs=1e-9)
    assert score.value.values == pytest.approx(np.mean(r, 0), abs=1e-9)
    assert score.error.values == pytest.approx(np.std(r, 0) / np.sqrt(4), abs=1e-9)


@pytest.mark.parametrize(("mapping", "theirs"), [(PLS(3), PLSRegression(3, scale=False)), (Ridge(), SklearnRidge(1.0))])
def test_shared_is_one_fit_of_all_pairs_of_stimulus_and_bin(areas, recordings, mapping, theirs):
    features, mean = areas["IT"].values, mean_repetitions(recordings).values
    splits = train_test_splits(300, 2)
    score = predictivity(areas["IT"], recordings, mapping, "shared", "raw", splits=splits, resamples=0)
    for i, (train, test) in enumerate(splits):
        fit = theirs.fit(*(np.concatenate([a[train][..., t] for t in range(3)]) for a in (features, mean)))
        for t in range(3):
            r = median_r(fit.predict(features[test][..., t]), mean[test][..., t])
            assert score.per_split.values[i, t] == pytest.approx(r, abs=1e-9)


def test_many_features_take_the_dual_form_and_score_the_same(areas, recordings):
    wide = at_one_time(areas["IT"])
    wide = assembly(np.hstack([wide.values] * 200), stimulus_id=wide["stimulus_id"].values)
    one_time = at_one_time(recordings)
    dual, primal = (
        predictivity(f, one_time, Ridge(a), splits=2, resamples=0)
        for f, a in ((wide, 200.0), (at_one_time(areas["IT"]), 1.0))
    )
    assert dual.raw == pytest.approx(float(primal.raw), abs=1e-9)
    assert dual.n["features"] == 1000


def test_the_order_of_features_and_presentations_does_not_matter(areas, recordings):
    random = np.random.default_rng(0)
    plain = predictivity(areas["IT"], recordings, "ridge", splits=3, resamples=5)
    mixed = areas["IT"].isel(presentation=random.permutation(300))
    assert predictivity(mixed, recordings, "ridge", splits=3, resamples=5).to_json() == plain.to_json()


# ---------------------------------------------------------------- planted truth


@pytest.mark.parametrize("over_time", ["per_bin", "shared"])
@pytest.mark.parametrize("correction", list(CORRECTIONS))
@pytest.mark.parametrize("mapping", list(MAPPINGS))
def test_a_perfect_model_reaches_what_the_correction_promises(areas, recordings, mapping, correction, over_time):
    """1 for the forms that estimate the noise-free score; what the formula makes of a perfect model for the others."""
    recordings = recordings.isel(time_bin=[0, 1] if over_time == "shared" else [2])
    score = predictivity(areas["IT"], recordings, MAPPINGS[mapping], over_time, correction, **QUICK)
    perfect = CORRECTIONS[correction].perfect(0.8)
    low, high = score.interval.values
    assert ((low <= perfect) & (perfect <= high)).all()
    assert (high - low < 0.1 * perfect**2).all()  # an interval that would cover anything shows nothing
    assert score.reason == "" and score.formula == correction
    if correction in ("r2_over_ceiling", "full_to_full"):
        assert perfect == 1.0


@pytest.mark.parametrize("correction", list(CORRECTIONS))
@pytest.mark.parametrize("mapping", list(MAPPINGS))
def test_without_noise_every_correction_is_1(areas, mapping, correction):
    clean = at_one_time(neurons(areas["IT"], count=24, reliability=0.999))
    score = predictivity(
        at_one_time(areas["IT"]), clean, MAPPINGS[mapping], "per_bin", correction, halvings=2, resamples=0
    )
    assert float(score) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("over_time", ["per_bin", "shared"])
@pytest.mark.parametrize("mapping", list(MAPPINGS))
def test_shuffled_stimuli_score_zero(areas, recordings, mapping, over_time):
    other, mapping = shuffled(recordings), MAPPINGS[mapping]
    score = predictivity(areas["IT"], other, mapping, over_time, scheme="k_fold", splits=5, resamples=0)
    assert abs(score.raw.values).max() < 0.12 and score.value.values.max() < 0.015  # the right order has 0.89 and 1
    halves = predictivity(areas["IT"], other, mapping, over_time, "full_to_full", splits=3, halvings=2, resamples=0)
    assert abs(np.nan_to_num(halves.value.values)).max() < 0.3
    assert np.isfinite(halves.value).all() or "maps fitted on halves" in halves.reason


def test_another_area_explains_less(areas, recordings):
    right, wrong = (predictivity(areas[a], recordings, "ridge", **QUICK).raw for a in ("IT", "V4"))
    assert (right > 0.85).all() and (abs(wrong) < 0.1).all()


def test_a_silent_model_scores_zero(areas, recordings):
    silent = areas["IT"].where(areas["IT"]["time_bin_start"] < 20, 0.0)
    for over_time in ("per_bin", "shared"):
        for correction in ("r2_over_ceiling", "full_to_full"):
            score = predictivity(silent, recordings, "ridge", over_time, correction, **QUICK)
            assert score.value.values[2] == 0.0 and score.value.values[0] > 0.5


# ---------------------------------------------------------------- what a score says of itself


def test_a_score_says_what_was_counted(areas, recordings):
    score = predictivity(areas["IT"], recordings, "ridge", **QUICK)
    assert dict(score.n) == {
        "stimuli": 300, "features": 5, "neuroids": 24, "time_bins": 3, "neuroids_missing": 0, "neuroids_no_variance": 0,
        "repetitions": 10, "splits": 10,
    }  # fmt: skip
    assert score.seed == 1 and score.formula == "r2_over_ceiling"
    assert score.ceiling.values == pytest.approx(internal_consistency(recordings, 4).value.values)
    assert score.value.values == pytest.approx(score.raw.values**2 / score.ceiling.values)
    assert score.per_neuroid.dims == ("neuroid", "time_bin") and "region" in score.per_neuroid.coords
    assert score.per_split.dims == ("split", "time_bin") and score.interval.dims == ("bound", "time_bin")
    again = predictivity(areas["IT"], recordings, "ridge", **QUICK)
    assert again.to_json() == score.to_json()
    assert predictivity(areas["IT"], recordings, "ridge", **QUICK, seed=2).to_json() != score.to_json()


def test_without_time_bins_scores_are_numbers(areas, recordings):
    score = predictivity(at_one_time(areas["IT"]), at_one_time(recordings), "ridge", **QUICK)
    assert score.value.ndim == 0 and float(score) == pytest.approx(1, abs=0.03) and score.interval.shape == (2,)


def test_k_fold(areas, recordings):
    score = predictivity(
        areas["IT"], recordings, "ridge", scheme="k_fold", splits=4, stratify="object_name", resamples=0
    )
    assert score.per_split.shape == (4, 3) and (score.raw > 0.85).all()


# ---------------------------------------------------------------- what the data do not support


def test_one_repetition_is_nan_with_the_reason(areas):
    once = neurons(areas["IT"], count=24, repetitions=1)
    for correction in CORRECTIONS:
        score = predictivity(areas["IT"], once, "ridge", correction=correction, **QUICK)
        assert (score.raw > 0.8).all()
        if correction == "raw":
            assert (score.value == score.raw).all() and score.reason == ""
        else:
            assert np.isnan(score.value).all() and "one repetition only" in score.reason
            assert np.isnan(score.interval).all() and np.isnan(score.per_neuroid).all()
    given = predictivity(areas["IT"], once, "ridge", ceiling=0.8, **QUICK)
    assert given.value.values == pytest.approx(given.raw.values**2 / 0.8)


def test_bins_without_reliability_are_nan_with_the_reason(areas, recordings):
    noisy = recordings.copy(deep=True)
    noisy.values[..., 1] = np.random.default_rng(0).normal(size=noisy.shape[:2])
    for correction in ("r2_over_ceiling", "r_over_ceiling", "full_to_full"):
        score = predictivity(areas["IT"], noisy, "ridge", correction=correction, **QUICK)
        assert np.isnan(score.value.values).tolist() == [False, True, False]
        assert "in 1 of 3 time bins (first 10 to 20 ms)" in score.reason
        assert not np.isinf(score.per_neuroid).any()
        assert np.isfinite(score.raw).all()


def test_neuroids_that_cannot_be_used_are_counted(areas, recordings):
    bad = recordings.copy(deep=True)
    bad.values[:, 3] = 2.0
    bad.values[bad["stimulus_id"].values == "image-7", 5, 0] = np.nan
    score = predictivity(areas["IT"], bad, "ridge", **QUICK)
    assert (score.n["neuroids"], score.n["neuroids_no_variance"], score.n["neuroids_missing"]) == (22, 1, 1)
    others = recordings.isel(neuroid=[i for i in range(24) if i not in (3, 5)])
    assert score.to_json()["value"] == predictivity(areas["IT"], others, "ridge", **QUICK).to_json()["value"]


def test_a_neuroid_silent_in_one_bin_counts_in_the_others(areas, recordings):
    quiet = recordings.copy(deep=True)
    quiet.values[:, 3, 0] = 0.0
    score = predictivity(areas["IT"], quiet, "ridge", **QUICK)
    assert np.isnan(score.per_neuroid.values[3]).tolist() == [True, False, False] and score.n["neuroids"] == 24
    assert np.isfinite(score.value).all()


def test_halves_that_lack_a_stimulus_say_so(areas, recordings):
    ragged = recordings.isel(presentation=np.flatnonzero(
        (recordings["stimulus_id"].values != "image-0") | (recordings["repetition"].values < 1)
    ))  # fmt: skip
    score = predictivity(areas["IT"], ragged, "ridge", correction="full_to_full", **QUICK)
    assert np.isnan(score.value).all() and "in every half of the repetitions" in score.reason
    assert np.isfinite(predictivity(areas["IT"], ragged, "ridge", **QUICK).value).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f, r: (f, r, {"mapping": "plss"}), "unknown mapping 'plss'; did you mean 'pls'"),
        (lambda f, r: (f, r, {"correction": "r2"}), "unknown correction 'r2'"),
        (lambda f, r: (f, r, {"over_time": "per_bins"}), "did you mean 'per_bin'"),
        (lambda f, r: (f, r, {"mapping": "pls"}), "PLS with 25 components"),
        (lambda f, r: (f, r, {"min_reliability": 0}), "min_reliability is 0"),
        (lambda f, r: (f, r, {"stratify": "objectname"}), "did you mean 'object_name'"),
        (lambda f, r: (f, r, {"ceiling": 0.9, "correction": "full_to_full"}), "uses no ceiling"),
        (lambda f, r: (f, r, {"splits": 0}), "splits is 0; expected a whole number of at least 1"),
        (lambda f, r: (f, r, {"splits": 2.5}), r"splits is 2\.5; expected a whole number"),
        (lambda f, r: (f, r, {"halvings": 0}), "halvings is 0"),
        (lambda f, r: (f, r, {"resamples": -1}), "resamples is -1"),
        (lambda f, r: (f, r, {"seed": -1}), "seed is -1"),
        (lambda f, r: (f, r, {"splits": [([0, 1], [1, 2])]}), "must be different ones of the 300"),
        (lambda f, r: (f, r, {"splits": [([0, 1], [400, 2])]}), "must be different ones of the 300"),
        (lambda f, r: (f, r, {"splits": [([0, 1], [2])]}), "at least 2 are tested"),
        (lambda f, r: (f.isel(presentation=slice(1, None)), r, {}), "1 of the 300 recorded stimuli have no features"),
        (lambda f, r: (f.isel(time_bin=[0, 1]), r, {}), "features have no time bin 20 to 30 ms"),
        (lambda f, r: (f, at_one_time(r), {}), "not resolved in time"),
        (lambda f, r: (f * np.nan, r, {"mapping": "ridge"}), "5 of 5 features hold NaN"),
        (lambda f, r: (f, r * 0, {}), "no neuroid is usable"),
        (lambda f, r: (f, r.rename(neuroid="neuron"), {}), "dimensions presentation, neuroid"),
    ],
)
def test_bad_input_is_a_sentence(areas, recordings, change, says):
    features, responses, options = change(areas["IT"], recordings)
    with pytest.raises(VentralError, match=says):
        predictivity(features, responses, **options)


def test_extra_time_bins_of_the_features_are_not_used(areas, recordings):
    last = recordings.isel(time_bin=[2])
    score = predictivity(areas["IT"], last, "ridge", **QUICK)
    assert score.value["time_bin_start"].values.tolist() == [bins_ms(3)[2][0]] and float(score.raw[0]) > 0.85


@pytest.mark.parametrize("correction", ["r2_over_ceiling", "r_over_ceiling_squared"])
def test_predictions_that_go_against_the_responses_score_below_zero(areas, correction):
    stimuli, random = 60, np.random.default_rng(0)
    x = random.normal(size=(stimuli, 1))
    half = np.arange(stimuli) < stimuli // 2
    signal = np.where(half[:, None], x, -x) @ np.ones(
        (1, 4)
    )  # what holds on one half of the stimuli is wrong on the other
    trials = np.concatenate([signal + 0.3 * random.normal(size=signal.shape) for _ in range(6)])
    ids = [f"image{i}" for i in range(stimuli)]
    splits = [(np.flatnonzero(half), np.flatnonzero(~half)), (np.flatnonzero(~half), np.flatnonzero(half))]
    recordings = assembly(trials, stimulus_id=ids * 6, repetition=np.repeat(np.arange(6), stimuli))
    score = predictivity(
        assembly(x, stimulus_id=ids), recordings, "ridge", correction=correction, splits=splits, resamples=20
    )
    assert float(score.raw) < -0.9 and float(score.value) < -0.9 and (score.interval.values < 0).all()
    assert (
        (score.per_neuroid.values < 0).all()
        and "with the sign of r" in score.rule
        and "with the sign of r" in repr(score)
    )
    size = abs(float(score.raw)) ** 2 / float(score.ceiling) ** (1 if correction == "r2_over_ceiling" else 2)
    assert float(score.value) == pytest.approx(-size)


def test_numpys_whole_numbers_are_whole_numbers(areas, recordings):
    one, other = (
        predictivity(areas["IT"], recordings, "ridge", splits=n(3), halvings=n(4), resamples=n(0), seed=n(1))
        for n in (int, np.int64)
    )
    assert one.to_json() == other.to_json()
