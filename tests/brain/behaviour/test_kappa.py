import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import cohen_kappa_score

from ventralstream.brain.behaviour.kappa import cohens_kappa, error_consistency
from ventralstream.errors import VentralError


def answers(values, images, truth, subject=None, condition=None):
    columns = {"stimulus_id": images, "truth": truth, "subject": subject, "condition": condition}
    coords = {k: ("presentation", np.asarray(v)) for k, v in columns.items() if v is not None}
    return xr.DataArray(np.asarray(values), dims="presentation", coords=coords)


def test_kappa_is_scikit_learns():
    random = np.random.default_rng(0)
    for _ in range(5):
        a, b = random.random((2, 40)) < random.uniform(0.2, 0.9, (2, 1))
        assert cohens_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))


def test_kappa_of_special_cases():
    right = np.array([1, 0, 1, 1, 0])
    assert cohens_kappa(right, right) == pytest.approx(1)
    assert cohens_kappa([1, 0] * 10, [0, 1] * 10) == pytest.approx(-1)
    assert np.isnan(cohens_kappa([1, 1, 1], [1, 1, 1]))
    assert cohens_kappa([1, 1, 1], [1, 0, 1]) == pytest.approx(0)


TRUTH = np.resize(["dog", "cat", "chair"], 15)
CONDITION = np.repeat([1, 2, 3], 5)
A, B, C = (np.where(np.random.default_rng(s).random(15) < 0.6, TRUTH, "cup").tolist() for s in range(3))
A[:5] = TRUTH[:5]  # always right in the first condition: no kappa with another who is


def test_mean_over_conditions_then_subjects():
    people = answers(
        A + B + C, np.tile(np.arange(15), 3), np.tile(TRUTH, 3), np.repeat(["A", "B", "C"], 15), np.tile(CONDITION, 3)
    )
    model = answers(A, np.arange(15), TRUTH, condition=CONDITION)
    score = error_consistency(model, people)
    right = {name: np.array(given) == TRUTH for name, given in (("A", A), ("B", B), ("C", C))}
    per_subject, undefined = [], 0
    for name in "ABC":
        kappas = []
        for c in (1, 2, 3):
            a, b = right["A"][c == CONDITION], right[name][c == CONDITION]
            expected = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
            undefined += expected == 1
            kappas.append(np.nan if expected == 1 else ((a == b).mean() - expected) / (1 - expected))
        per_subject.append(np.nanmean(kappas))
    np.testing.assert_allclose(score.per_neuroid, per_subject)
    assert float(score) == pytest.approx(np.mean(per_subject))
    assert score.per_neuroid[0] == pytest.approx(1)
    assert score.n == {"subjects": 3, "conditions": 3, "trials": 45, "kappas_undefined": undefined}
    assert undefined >= 1
    assert score.ceiling is not None and np.isfinite(score.ceiling)


def test_the_ceiling_is_people_among_themselves():
    random = np.random.default_rng(1)
    truth = np.resize(["dog", "cat"], 400)
    hard = random.random(400) < 0.4  # images that everybody gets wrong
    given = [np.where(hard ^ (random.random(400) < 0.1), "none", truth) for _ in range(3)]
    ids = np.arange(400)
    people = answers(np.concatenate(given), np.tile(ids, 3), np.tile(truth, 3), np.repeat([1, 2, 3], 400))
    alike = error_consistency(answers(np.where(hard, "none", truth), ids, truth), people)
    unlike = error_consistency(answers(np.where(random.permutation(hard), "none", truth), ids, truth), people)
    assert 0.5 < alike.ceiling < float(alike) < 1
    assert abs(float(unlike)) < 0.12
    one = error_consistency(answers(truth, ids, truth), people.isel(presentation=slice(0, 400)))
    assert one.ceiling is None


def test_bad_input_is_one_sentence():
    people = answers(["dog", "cat"], ["a", "b"], ["dog", "cat"], ["S", "S"])
    with pytest.raises(VentralError, match="no answer to 'b'"):
        error_consistency(answers(["dog"], ["a"], ["dog"]), people)
    with pytest.raises(VentralError, match="more than once"):
        error_consistency(answers(["dog", "cat"], ["a", "a"], ["dog", "dog"]), people)
    with pytest.raises(VentralError, match="unknown coordinate 'subject'"):
        error_consistency(people, people.drop_vars("subject"))
    with pytest.raises(VentralError, match="0 \\(wrong\\) and 1"):
        cohens_kappa([0.5, 1], [0, 1])


def test_other_names_for_the_same_things_are_no_wrong_answers():
    with pytest.raises(VentralError, match="no answer of the model is the name of anything shown: 'Dog' where 'dog'"):
        error_consistency(*two_observers(["Dog", "Cat"]))
    assert error_consistency(*two_observers(["cat", None])).n["subjects"] == 1


def two_observers(given):
    people = answers(["dog", "dog"], ["a", "b"], ["dog", "cat"], subject=["s", "s"])
    return answers(np.array(given, dtype=object), ["a", "b"], ["dog", "cat"]), people
