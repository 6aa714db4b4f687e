import numpy as np
import pytest
import xarray as xr
from scipy.optimize import brentq
from scipy.stats import spearmanr

from ventralstream.brain.behaviour.decoder import fit_decoder
from ventralstream.brain.behaviour.ost import (
    fit_decoder_adam,
    i1_over_time,
    object_solution_times,
    ost_consistency,
    solution_times,
)
from ventralstream.brain.behaviour.signatures import matrix_of_probabilities, signature
from ventralstream.brain.correlation import mean_of_defined
from ventralstream.brain.splits import train_test_splits
from ventralstream.errors import VentralError

TIMES = np.arange(70.0, 130.0, 10)


def one_image(i1, threshold, times, rule):
    """The published search, one bin after another, and the crossing by a root finder."""
    last = hit = None
    for t, y in zip(times, i1, strict=True):
        if hit is None and y < threshold and (rule == "adjacent" or last is None or y > last[1]):
            last = (t, y)
        if hit is None and y >= threshold:
            hit = (t, y)
    if hit is None:
        return np.nan
    if last is None:
        return hit[0]
    slope = (hit[1] - last[1]) / (hit[0] - last[0])
    return brentq(lambda t: last[1] + slope * (t - last[0]) - threshold, last[0] - 1, hit[0] + 1)


@pytest.mark.parametrize("rule", ["published", "adjacent"])
def test_the_crossing_is_the_published_search(rule):
    random = np.random.default_rng(0)
    i1 = np.clip(random.normal(size=(300, 6)) + np.linspace(-1, 2, 6), -5, 5)
    thresholds = random.uniform(-1, 3, 300)
    found = solution_times(i1, thresholds, TIMES, rule)
    expected = [one_image(y, threshold, TIMES, rule) for y, threshold in zip(i1, thresholds, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.isnan(found).any() and (found == TIMES[0]).any()  # both ends occur


def test_the_rules_differ_where_i1_dips():
    dips = [[0.0, 1.0, 0.5, 3.0, 0.0, 0.0]]
    assert solution_times(dips, [2.0], TIMES, "published")[0] == pytest.approx(80 + 20 * (2 - 1) / (3 - 1))
    assert solution_times(dips, [2.0], TIMES, "adjacent")[0] == pytest.approx(90 + 10 * (2 - 0.5) / (3 - 0.5))
    rises = [[0.0, 1.0, 1.5, 3.0, 4.0, 5.0]]
    assert solution_times(rises, [2.0], TIMES, "published") == solution_times(rises, [2.0], TIMES, "adjacent")


def test_missing_values_and_thresholds():
    nan = np.nan
    i1 = [[nan, 1, 3, 0, 0, 0], [0, nan, 3, 0, 0, 0], [nan] * 6, [0, 1, 2, 3, 4, 5], [3, nan, nan, 4, 5, 5]]
    published = solution_times(i1, [2, 2, 2, nan, 2], TIMES)
    np.testing.assert_allclose(published, [85, 70 + 20 * 2 / 3, nan, nan, 70])
    assert solution_times(i1, [2, 2, 2, nan, 2], TIMES, "adjacent")[1] == 90  # nothing to join with
    with pytest.raises(VentralError, match="unknown rule 'nearest'"):
        solution_times(i1, [2] * 5, TIMES, "nearest")
    with pytest.raises(VentralError, match="rising order"):
        solution_times(i1, [2] * 5, TIMES[::-1])


OBJECTS, PER_OBJECT = 4, 50
TRUTH = np.repeat([f"object{i}" for i in range(OBJECTS)], PER_OBJECT)


def planted(seed=0, neuroids=24, bins=10):
    """Features in which each image's object appears at a moment of its own; those moments; thresholds of I1."""
    random = np.random.default_rng(seed)
    onset_ms = random.uniform(80, 140, len(TRUTH))
    t = 70 + 10.0 * np.arange(bins)
    objects = random.normal(size=(OBJECTS, neuroids))
    strength = np.clip((t - onset_ms[:, None]) / 20, 0, 1.5)
    x = objects[np.repeat(np.arange(OBJECTS), PER_OBJECT)][:, :, None] * strength[:, None]
    x = x + 0.3 * random.normal(size=x.shape)
    ids = np.array([f"image{i}" for i in range(len(TRUTH))])
    coords = {
        "stimulus_id": ("presentation", ids),
        "object_name": ("presentation", TRUTH),
        "time_bin_start": ("time_bin", t),
    }
    features = xr.DataArray(x, dims=("presentation", "neuroid", "time_bin"), coords=coords)
    i1 = {"stimulus_id": ("presentation", ids), "i1": ("presentation", np.full(len(ids), 1.5))}
    return features, xr.DataArray(onset_ms + 15, dims="presentation", coords=i1)


@pytest.mark.parametrize("rule", ["published", "adjacent"])
def test_planted_moments_are_found(rule):
    features, monkey = planted()
    order = np.random.default_rng(3).permutation(len(TRUTH))
    score = ost_consistency(features[order], monkey, rule=rule)
    assert float(score) > 0.85
    assert score.per_split.shape == (10,) and float(score) == pytest.approx(score.per_split.mean())
    assert score.n["held_out"] == 200 and score.n["compared"] <= 200
    times = object_solution_times(features[order], monkey, rule=rule, splits=4)
    found = mean_of_defined(times.values)
    ok = np.isfinite(found)
    assert np.abs(np.median(found[ok] - monkey.values[ok])) < 10
    shuffled = monkey.copy(data=np.random.default_rng(0).permutation(monkey.values))
    assert abs(float(ost_consistency(features, shuffled, rule=rule, splits=5))) < 0.35


def test_each_split_is_scored_on_what_it_holds_out():
    features, monkey = planted()
    monkey = monkey.copy(data=np.where(np.arange(200) % 7 == 0, np.nan, monkey.values))
    score = ost_consistency(features, monkey, splits=3)
    assert score.n["unsolved_by_monkey"] > 0
    for split, (train, test) in enumerate(train_test_splits(200, 3)):
        train, test = np.sort(train), np.sort(test)
        i1 = np.empty((len(test), 10))
        for b in range(10):
            decoder = fit_decoder(features.values[train, :, b], TRUTH[train], l2=0.463, penalise_bias=True)
            p = xr.DataArray(
                decoder.probabilities(features.values[test, :, b]),
                dims=("presentation", "choice"),
                coords={
                    "stimulus_id": ("presentation", test),
                    "truth": ("presentation", TRUTH[test]),
                    "choice": decoder.classes,
                },
            )
            i1[:, b] = signature(matrix_of_probabilities(p), "I1").values
        times = solution_times(i1, np.full(len(test), 1.5), features["time_bin_start"].values)
        both = np.isfinite(times) & np.isfinite(monkey.values[test])
        expected = spearmanr(times[both], monkey.values[test][both]).statistic
        assert score.per_split[split] == pytest.approx(expected, abs=1e-9)


def test_a_constant_model_has_no_solution_times():
    features, monkey = planted()
    constant = features.copy(data=np.repeat(features.values[:, :, -1:], 10, axis=2))
    score = ost_consistency(constant, monkey)
    assert np.isnan(float(score)) and "same in all time bins" in score.reason
    unsolvable = monkey.assign_coords(i1=("presentation", np.full(200, 6.0)))
    never = ost_consistency(features, unsolvable, splits=2)
    assert np.isnan(float(never)) and never.n["compared"] == 0 and "both solve" in never.reason


def test_the_published_recipe_ends_before_the_optimum_and_decides_alike():
    features, _ = planted(neuroids=300)
    x = features.values[:, :, -1]
    train, test = np.arange(200) % 2 == 0, np.arange(200) % 2 == 1
    optimum, adam = (
        fit_decoder(x[train], TRUTH[train], l2=0.463, penalise_bias=True),
        fit_decoder_adam(x[train], TRUTH[train]),
    )
    columns = [list(adam.classes).index(c) for c in optimum.classes]
    p, q = optimum.probabilities(x[test]), adam.probabilities(x[test])[:, columns]
    assert (p.argmax(1) == q.argmax(1)).mean() > 0.9
    assert np.abs(p - q).max() > 0.05

    def loss(decoder):
        own = np.searchsorted(np.sort(decoder.classes), TRUTH[train])
        probability = decoder.probabilities(x[train])[:, np.argsort(decoder.classes)][np.arange(train.sum()), own]
        return -np.log(probability).mean() + 0.463 / 2 * ((decoder.weights**2).sum() + (decoder.bias**2).sum())

    assert loss(optimum) < loss(adam)
    again = fit_decoder_adam(x[train], TRUTH[train])
    np.testing.assert_array_equal(again.weights, adam.weights)


def test_bad_input_is_one_sentence():
    features, monkey = planted()
    with pytest.raises(VentralError, match=r"lack 20 of the monkey's images, e.g. 'image0'"):
        ost_consistency(features[20:], monkey)
    with pytest.raises(VentralError, match="presentation, neuroid, time_bin"):
        object_solution_times(features[:, :, 0], monkey)
    with pytest.raises(VentralError, match="unknown fit 'sgd'"):
        i1_over_time(features[:100], features[100:], fit="sgd")
    with pytest.raises(VentralError, match="unknown coordinate 'i1'"):
        ost_consistency(features, monkey.drop_vars("i1"))
