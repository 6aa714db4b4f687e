import numpy as np
import pytest
import torch
from sklearn import linear_model

from ventralstream.brain.mapping.design import Design
from ventralstream.brain.mapping.linear import as_targets, held_out
from ventralstream.brain.mapping.ridge import ALPHAS, Ridge, RidgeCV
from ventralstream.errors import VentralError

SIZES = [(120, 30, 7), (40, 90, 7), (50, 50, 1)]  # more rows than features; fewer; the same, one target


def data(rows, features, targets):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows + 20, features)) + 3
    y = x @ random.normal(size=(features, targets)) / 4 + random.normal(size=(rows + 20, targets)) * 2
    return x[:rows], y[:rows], x[rows:]


def least_leave_one_out(x, y, alphas):
    """The penalty with the least error of fits that really leave each row out."""
    errors = np.zeros((len(alphas), y.shape[1]))
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        for j, alpha in enumerate(alphas):
            fit = linear_model.Ridge(alpha=alpha).fit(x[rest], y[rest])
            errors[j] += (y[i] - fit.predict(x[i : i + 1]).ravel()) ** 2
    return np.asarray(alphas)[errors.argmin(0)]


@pytest.mark.parametrize("sizes", SIZES)
def test_ridge_equals_scikit_learn(sizes):
    x, y, x_test = data(*sizes)
    theirs = linear_model.Ridge(alpha=2.0).fit(x, y).predict(x_test).reshape(20, -1)
    assert np.allclose(Ridge(2.0).fit(x, y).predict(x_test), theirs, rtol=1e-10)


@pytest.mark.parametrize("sizes", SIZES)
def test_one_penalty_for_all_targets_equals_scikit_learn(sizes):
    x, y, x_test = data(*sizes)
    theirs = linear_model.RidgeCV(ALPHAS).fit(x, y).predict(x_test).reshape(20, -1)
    assert np.allclose(RidgeCV(per_target=False).fit(x, y).predict(x_test), theirs, rtol=1e-9)


@pytest.mark.parametrize("sizes", [(40, 12, 5), (25, 60, 5)])
def test_each_target_has_the_penalty_of_the_least_leave_one_out_error(sizes):
    x, y, x_test = data(*sizes)
    alphas = (1e-6, 0.1, 1.0, 10.0, 100.0, 1000.0)
    design = Design(x)
    best = least_leave_one_out(x, y, alphas)
    centred = torch.as_tensor(y - y.mean(0))[:, None]
    assert (RidgeCV(alphas).chosen(design.split(np.arange(len(x)), []), centred)[0].numpy() == best).all()
    assert len(set(best)) > 1
    theirs = [linear_model.Ridge(alpha=a).fit(x, y[:, j]).predict(x_test) for j, a in enumerate(best)]
    assert np.allclose(RidgeCV(alphas).fit(x, y).predict(x_test), np.stack(theirs, 1), rtol=1e-9)


@pytest.mark.parametrize("mapping", [Ridge(3.0), RidgeCV()])
@pytest.mark.parametrize("features", [30, 200])
def test_splits_equal_fits_of_their_own_rows(mapping, features):
    x, y, _ = data(100, features, 6)
    design = Design(x)
    splits = ((np.arange(80), np.arange(80, 100)), (np.arange(30), np.arange(50, 60)))
    predictions = held_out(mapping, design, as_targets(y, design).reshape(100, 2, 3), splits)
    for prediction, (train, test) in zip(predictions, splits, strict=True):
        own = mapping.fit(x[train], y[train]).predict(x[test])
        assert np.allclose(prediction.numpy().reshape(len(test), 6), own, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("make", [lambda: Ridge(0), lambda: RidgeCV(()), lambda: RidgeCV((1, -1))])
def test_penalties_are_above_zero(make):
    with pytest.raises(VentralError, match="above 0"):
        make()
