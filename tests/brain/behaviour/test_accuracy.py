import json

import numpy as np
import pytest

from ventralstream.brain.behaviour.accuracy import accuracy_by_difficulty, accuracy_curve
from ventralstream.errors import VentralError


def test_accuracy_of_what_was_answered():
    curve = accuracy_curve([1, 0, 1, np.nan, 1, 1], [200, 200, 400, 400, 400, 400], x_name="time (ms)")
    assert curve.x.tolist() == [200, 400]
    assert curve.accuracy.tolist() == [0.5, 1]
    assert curve.n.tolist() == [2, 3]
    assert json.loads(json.dumps(curve.to_json()))["accuracy"] == [0.5, 1]


def test_wilsons_interval_is_the_textbooks():
    curve = accuracy_curve([1] * 8 + [0] * 2, [0] * 10, x_name="x")
    np.testing.assert_allclose([curve.low[0], curve.high[0]], [0.4901625, 0.9433178], atol=1e-6)


def test_intervals_cover_the_truth_where_subjects_differ():
    random = np.random.default_rng(0)
    covered = {"subjects": 0, "trials": 0}
    for repeat in range(100):
        skill = np.clip(random.normal(0.6, 0.15, 15), 0, 1)
        subject = np.repeat(np.arange(15), 60)
        correct = (random.random(len(subject)) < skill[subject]).astype(float)
        over = accuracy_curve(correct, np.zeros(len(subject)), x_name="x", subject=subject, resamples=300, seed=repeat)
        trials = accuracy_curve(correct, np.zeros(len(subject)), x_name="x")
        covered["subjects"] += bool(over.low[0] <= 0.6 <= over.high[0])
        covered["trials"] += bool(trials.low[0] <= 0.6 <= trials.high[0])
    assert covered["subjects"] >= 85
    assert covered["trials"] < 75  # trials of a subject are not independent


def test_difficulty_in_bins():
    difficulty = np.repeat([0.1, 0.3, 0.6, 0.9], 25)
    correct = (np.arange(100) % 25 < np.repeat([25, 20, 10, 5], 25)).astype(float)
    curve = accuracy_by_difficulty(correct, difficulty, bins=4)
    np.testing.assert_allclose(curve.x, [0.1, 0.3, 0.6, 0.9])
    np.testing.assert_allclose(curve.accuracy, [1, 0.8, 0.4, 0.2])
    two = accuracy_by_difficulty(correct, difficulty, bins=[0, 0.5, 0.7])
    np.testing.assert_allclose(two.x, [0.2, 0.6])
    np.testing.assert_allclose(two.accuracy, [0.9, 0.4])
    assert two.n.tolist() == [50, 25]  # 0.9 is outside


def test_bad_input_is_one_sentence():
    with pytest.raises(VentralError, match="at least one answered"):
        accuracy_curve([np.nan], [1], x_name="x")
    with pytest.raises(VentralError, match="rising edges"):
        accuracy_by_difficulty([1, 0], [1, 1])
    with pytest.raises(VentralError, match="one difficulty an answer"):
        accuracy_by_difficulty([1, 0], [1])


def test_bins_and_resamples_that_cannot_be_made_are_refused():
    for call, message in (
        (lambda: accuracy_by_difficulty([1, 0], [0, 1], bins=10**9), "more than the 2 answers"),
        (lambda: accuracy_by_difficulty([1, 0], [0, 1], bins=0), "bins is 0"),
        (lambda: accuracy_by_difficulty([1, 0], [0, 1], bins=[0, np.nan]), "rising edges"),
        (lambda: accuracy_by_difficulty([1, 0], [0, np.inf]), "1 of 2 difficulties are infinite"),
        (lambda: accuracy_curve([1, 0], [0, np.inf], x_name="x"), "an infinite x"),
        (lambda: accuracy_curve([1, 0], [0, 1], x_name="x", subject=["a"]), "one subject a trial; got 1 for 2"),
        (lambda: accuracy_curve([1], [0], x_name="x", subject=["a"], resamples=10**12), "at most 100000"),
    ):
        with pytest.raises(VentralError, match=message):
            call()
    assert accuracy_by_difficulty([1, 0], [0, 1], bins=np.int64(2)).n.tolist() == [1, 1]
