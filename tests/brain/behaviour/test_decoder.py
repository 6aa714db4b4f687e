import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ventralstream.brain.behaviour.decoder import choice_probabilities, fit_decoder, standardisation
from ventralstream.errors import VentralError

CLASSES = np.array(["bear", "car", "dog", "tree"])


def clusters(images=80, features=12, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    y = np.arange(images) % len(CLASSES)
    centres = np.random.default_rng(99).normal(size=(len(CLASSES), features))
    x = centres[y] + spread * random.normal(size=(images, features)) * np.linspace(0.5, 3, features) + 7
    return x, CLASSES[y]


@pytest.mark.parametrize("features", [12, 300])  # fewer and more than images
def test_it_is_scikit_learns_optimum(features):
    x, y = clusters(features=features)
    test, _ = clusters(features=features, seed=1)
    scaler = StandardScaler().fit(x)
    theirs = LogisticRegression(C=0.02, solver="newton-cg", tol=1e-10, max_iter=500).fit(scaler.transform(x), y)
    ours = fit_decoder(x, y, l2=1 / (0.02 * len(x)))
    assert ours.classes.tolist() == theirs.classes_.tolist()
    np.testing.assert_allclose(ours.probabilities(test), theirs.predict_proba(scaler.transform(test)), atol=1e-6)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=1e-6)


@pytest.mark.parametrize("features", [12, 300])
def test_biases_can_be_in_the_penalty(features):
    x, y = clusters(features=features)
    x, y = x[:50], y[:50]
    x[y == "dog"] += 1  # unbalanced, so that the biases matter
    z = np.c_[StandardScaler().fit_transform(x), np.ones(len(x))]
    theirs = LogisticRegression(C=1 / (0.463 * len(x)), fit_intercept=False, tol=1e-10, max_iter=5000).fit(z, y)
    ours = fit_decoder(x, y, l2=0.463, penalise_bias=True)
    np.testing.assert_allclose(ours.probabilities(x), theirs.predict_proba(z), atol=1e-6)
    free = fit_decoder(x, y, l2=0.463)
    assert np.abs(free.probabilities(x) - ours.probabilities(x)).max() > 1e-4


def test_two_classes_are_a_softmax_too():
    x, y = clusters()
    two = np.isin(y, ["bear", "car"])
    decoder = fit_decoder(x[two], y[two], l2=0.5)
    np.testing.assert_allclose(decoder.weights.sum(1), 0, atol=1e-7)  # the optimum is symmetric
    # the gradient of the loss vanishes
    z = (x[two] - decoder.mean) / decoder.scale
    onehot = (y[two][:, None] == decoder.classes).astype(float)
    gradient = z.T @ (decoder.probabilities(x[two]) - onehot) / two.sum() + 0.5 * decoder.weights
    assert np.abs(gradient).max() < 1e-7


def test_a_constant_feature_changes_nothing():
    x, y = clusters()
    constant = np.c_[x, np.full(len(x), 0.1)]
    assert standardisation(constant)[1][-1] == 1
    with_it, without = fit_decoder(constant, y, l2=0.1), fit_decoder(x, y, l2=0.1)
    np.testing.assert_allclose(with_it.probabilities(constant), without.probabilities(x), atol=1e-7)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((4, 2)), ["a"] * 4, "at least 2 labels"),
        (np.zeros((4, 2)), ["a", "b"], "one label an image"),
        (np.array([[0, np.nan], [1, 2]]), ["a", "b"], "1 features are NaN"),
    ],
)
def test_what_cannot_be_fitted_is_said(x, y, words):
    with pytest.raises(VentralError, match=words):
        fit_decoder(x, y, l2=1.0)


def test_choice_probabilities_carry_names():
    def assembly(x, y):
        names = [f"im{i}" for i in range(len(x))]
        coords = {"stimulus_id": ("presentation", names), "object_name": ("presentation", y)}
        return xr.DataArray(x, dims=("presentation", "neuroid"), coords=coords)

    train, test = assembly(*clusters(spread=0.3)), assembly(*clusters(images=20, seed=3, spread=0.3))
    probabilities = choice_probabilities(train, test.T, c=1.0)
    assert probabilities.dims == ("presentation", "choice")
    assert probabilities["choice"].values.tolist() == CLASSES.tolist()
    np.testing.assert_allclose(probabilities.sum("choice"), 1)
    answers = probabilities["choice"].values[probabilities.values.argmax(1)]
    assert (answers == probabilities["truth"].values).mean() > 0.9
    with pytest.raises(VentralError, match=r"unknown coordinate 'object_nam'.*did you mean 'object_name'"):
        choice_probabilities(train, test, label="object_nam")
    with pytest.raises(VentralError, match="same neuroids; got 12 and 5"):
        choice_probabilities(train, test[:, :5])


def test_features_in_another_order_missing_ones_and_odd_penalties_are_refused():
    def features(names, values):
        coords = {
            "object_name": ("presentation", ["a", "b", "a", "b"]),
            "stimulus_id": ("presentation", list("pqrs")),
            "neuroid_id": ("neuroid", names),
        }
        return xr.DataArray(values, dims=("presentation", "neuroid"), coords=coords)

    values = np.arange(8.0).reshape(4, 2) ** 2
    train = features(["x", "y"], values)
    with pytest.raises(VentralError, match="number 1 is 'x' in one and 'y' in the other"):
        choice_probabilities(train, features(["y", "x"], values))
    with pytest.raises(VentralError, match="1 features are NaN"):
        choice_probabilities(train, train.where(train > 0))
    for c in (0, -1, np.nan, np.inf):
        with pytest.raises(VentralError, match="c is"):
            choice_probabilities(train, train, c=c)
