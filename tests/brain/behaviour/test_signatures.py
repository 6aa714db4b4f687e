"""I1, I2 and their normalised forms, against the same sums written out by hand in loops."""

from statistics import NormalDist

import numpy as np
import pytest
import xarray as xr

from ventralstream.brain.behaviour.signatures import (
    behavioural_ceiling,
    behavioural_consistency,
    brain_score_2019,
    correlate,
    d_prime,
    matrix_of_probabilities,
    matrix_of_trials,
    signature,
)
from ventralstream.errors import VentralError

OBJECTS = np.array(["bear", "car", "dog", "tree"])
PER_OBJECT = 12
TRUTH = np.repeat(OBJECTS, PER_OBJECT)
IMAGES = np.array([f"im{i:02d}" for i in np.random.default_rng(5).permutation(len(TRUTH))])


def scores(seed=0, noise=1.0):
    """How much each image looks like each object."""
    random = np.random.default_rng(seed)
    return 1.2 * (TRUTH[:, None] == OBJECTS) + random.normal(size=(len(TRUTH), len(OBJECTS))) * noise


def probabilities(of=None):
    of = scores() if of is None else of
    p = np.exp(of) / np.exp(of).sum(1, keepdims=True)
    coords = {"stimulus_id": ("presentation", IMAGES), "truth": ("presentation", TRUTH), "choice": OBJECTS}
    return xr.DataArray(p, dims=("presentation", "choice"), coords=coords)


def trials(of=None, count=8000, seed=1):
    """Two-alternative choices of someone to whom images look as `of` says."""
    of = scores() if of is None else of
    random = np.random.default_rng(seed)
    image = random.integers(0, len(TRUTH), count)
    own = np.searchsorted(OBJECTS, TRUTH[image])
    other = (own + random.integers(1, len(OBJECTS), count)) % len(OBJECTS)
    right = random.random(count) < 1 / (1 + np.exp(of[image, other] - of[image, own]))
    names = {
        "stimulus_id": IMAGES[image],
        "truth": OBJECTS[own],
        "sample_obj": OBJECTS[own],
        "dist_obj": OBJECTS[other],
    }
    return xr.DataArray(
        np.where(right, OBJECTS[own], OBJECTS[other]),
        dims=("presentation",),
        coords={name: ("presentation", v) for name, v in names.items()},
    )


def by_hand(p, truth, choices, name):
    """The definition, one image and one object at a time."""
    z = NormalDist().inv_cdf
    error = {}
    for i, own in enumerate(truth):
        for j, choice in enumerate(choices):
            if choice != own:
                error[i, choice] = p[i, j] / (p[i, j] + p[i, list(choices).index(own)])
    d = {}
    for (i, choice), e in error.items():
        alarms = [error[k, truth[i]] for k, other in enumerate(truth) if other == choice]
        d[i, choice] = max(-5, min(5, z(1 - e) - z(sum(alarms) / len(alarms))))
    if name.endswith("n"):
        for own in set(truth):
            for choice in set(choices) - {own}:
                cells = [(i, choice) for i, t in enumerate(truth) if t == own]
                mean = sum(d[c] for c in cells) / len(cells)
                d |= {c: d[c] - mean for c in cells}
    if name.startswith("I1"):
        return np.array([np.mean([d[i, c] for c in choices if (i, c) in d]) for i in range(len(truth))])
    return np.array([[d.get((i, c), np.nan) for c in choices] for i in range(len(truth))])


@pytest.mark.parametrize("name", ["I1", "I1n", "I2", "I2n"])
def test_signatures_are_what_is_written_out_by_hand(name):
    p = probabilities()
    found = signature(matrix_of_probabilities(p), name)
    np.testing.assert_allclose(found.values, by_hand(p.values, TRUTH, OBJECTS, name), atol=1e-10)
    assert found.dims == (("presentation",) if name.startswith("I1") else ("presentation", "choice"))
    assert found["stimulus_id"].values.tolist() == IMAGES.tolist()


def test_trials_are_counted_against_what_was_offered():
    rows = [  # image, truth, distractor, answer
        ("a", "car", "dog", "car"),
        ("a", "car", "dog", "dog"),
        ("a", "car", "dog", "dog"),
        ("a", "car", "bear", "car"),
        ("b", "dog", "car", "car"),
        ("b", "dog", "car", "dog"),
        ("c", "bear", "dog", "bear"),
    ]
    image, truth, other, answer = (np.array(column) for column in zip(*rows, strict=True))
    coords = {"stimulus_id": image, "truth": truth, "sample_obj": truth, "dist_obj": other}
    made = xr.DataArray(answer, dims="presentation", coords={k: ("presentation", v) for k, v in coords.items()})
    matrix = matrix_of_trials(made)
    assert matrix["stimulus_id"].values.tolist() == ["a", "b", "c"]
    assert matrix["choice"].values.tolist() == ["bear", "car", "dog"]
    expected = [[0, np.nan, 2 / 3], [np.nan, 0.5, np.nan], [np.nan, np.nan, 0]]
    np.testing.assert_allclose(matrix.values, expected)


def test_d_prime_is_clipped_and_undefined_where_both_are_certain():
    values = np.array([[np.nan, 0.0], [np.nan, 0.2], [1.0, np.nan], [0.0, np.nan]])
    coords = {
        "stimulus_id": ("presentation", list("abcd")),
        "truth": ("presentation", ["x", "x", "y", "y"]),
        "choice": ["x", "y"],
    }
    matrix = xr.DataArray(values, dims=("presentation", "choice"), coords=coords)
    found = d_prime(matrix).values
    # false alarms on y's images are 0.5 on average (z = 0), on x's 0.1
    z = NormalDist().inv_cdf
    np.testing.assert_allclose(found, [[np.nan, 5], [np.nan, z(0.8)], [-5, np.nan], [5, np.nan]])
    np.testing.assert_allclose(d_prime(matrix, clip=0.5).values[1, 1], 0.5)
    certain = matrix.copy(data=np.array([[np.nan, 1.0], [np.nan, 1.0], [1.0, np.nan], [1.0, np.nan]]))
    assert np.isfinite(d_prime(certain).values).sum() == 4  # -inf - inf is -5
    certain.values[:2, 1] = 0  # hits certain (+inf), false alarms certain (+inf)
    assert np.isnan(d_prime(certain).values[:2]).all()


def test_who_answers_like_people_scores_one_and_who_does_not_scores_zero():
    like = behavioural_consistency(probabilities(), trials(count=40_000), "I2n")
    assert float(like) == pytest.approx(1, abs=0.02)
    assert like.raw < like.ceiling**0.5 + 0.02 and 0.7 < like.ceiling < 1
    # the published way: r / sqrt(ceiling) of each repetition, then the mean
    halves = behavioural_ceiling(trials(count=40_000), "I2n")
    assert float(halves.value) == pytest.approx(like.ceiling, abs=1e-12)
    assert float(like) == pytest.approx(like.per_split.mean(), abs=1e-12)
    other = behavioural_consistency(probabilities(scores(seed=7)), trials(count=40_000), "I2n")
    assert abs(float(other)) < 0.2
    assert other.n == {"images": 48, "trials": 40_000, "values": 48 * 3, "halvings": 2}


def test_the_same_seed_gives_the_same_halves_and_images_may_come_in_any_order():
    first = behavioural_consistency(probabilities(), trials(), "I1")
    order = np.random.default_rng(2).permutation(len(TRUTH))
    again = behavioural_consistency(probabilities()[order, ::-1], trials(), "I1")
    np.testing.assert_allclose(first.per_split, again.per_split, atol=1e-12)
    assert behavioural_ceiling(trials(), "I1", seed=1).value != behavioural_ceiling(trials(), "I1").value


def test_people_who_guess_support_no_ceiling():
    guesses = [trials(np.zeros((48, 4)), count=4000, seed=s) for s in range(20)]
    scored = [behavioural_consistency(probabilities(), g, "I2n") for g in guesses]
    unsupported = [s for s in scored if np.isnan(float(s))]
    assert unsupported and all("do not agree" in s.reason for s in unsupported)
    assert not any(np.isinf(float(s)) for s in scored)


def test_correlate_takes_what_both_define():
    one = signature(matrix_of_probabilities(probabilities()), "I2")
    r, count = correlate(one, one)
    assert (r, count) == (pytest.approx(1), 48 * 3)
    fewer = one.isel(presentation=slice(0, 10))
    assert correlate(one, fewer)[1] == 30
    assert np.isnan(correlate(one, one.copy(data=np.ones(one.shape)))[0])
    with pytest.raises(VentralError, match="each stimulus_id once"):
        correlate(one, xr.concat([one, one], "presentation"))


def test_bad_input_is_one_sentence():
    with pytest.raises(VentralError, match="unknown signature 'I3'"):
        signature(matrix_of_probabilities(probabilities()), "I3")
    lacking = probabilities()[5:]
    with pytest.raises(VentralError, match="differ in 5 images"):
        behavioural_consistency(lacking, trials())
    with pytest.raises(VentralError, match=r"unknown object 'bear'.*not among the choices"):
        matrix_of_probabilities(probabilities()[:, 1:])
    with pytest.raises(VentralError, match="unknown coordinate 'truth'"):
        matrix_of_probabilities(probabilities().drop_vars("truth"))


def test_the_papers_mean_of_cornet_s():
    assert brain_score_2019(v4=0.6499, it=0.6003, behaviour=0.382, ost=0.25) == pytest.approx(0.4705, abs=1e-4)
    # DenseNet-169 has no dynamics
    without = brain_score_2019(v4=0.663, it=0.606, behaviour=0.378, ost=float("nan"))
    assert without == pytest.approx(0.412, abs=5e-4)
    with pytest.raises(VentralError, match="needs a number for it"):
        brain_score_2019(v4=0.6, it=float("nan"), behaviour=0.3, ost=0.2)


def test_answers_that_were_not_offered_and_truths_that_differ_are_refused():
    def trials(answers, truth):
        columns = {"stimulus_id": ["a", "a"], "truth": truth, "sample_obj": ["dog"] * 2, "dist_obj": ["cat"] * 2}
        coords = {name: ("presentation", values) for name, values in columns.items()}
        return xr.DataArray(answers, dims="presentation", coords=coords)

    assert matrix_of_trials(trials(["dog", "cat"], ["dog", "dog"])).values.tolist()[0][0] == 0.5
    with pytest.raises(VentralError, match="1 of 2 answers are neither of the two objects offered"):
        matrix_of_trials(trials(["Dog", "cat"], ["dog", "dog"]))
    with pytest.raises(VentralError, match="image 'a' shows 'dog' in one trial and 'cat' in another"):
        matrix_of_trials(trials(["dog", "cat"], ["dog", "cat"]))
