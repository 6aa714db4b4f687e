import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression

from ventralstream.brain.mapping.design import Design
from ventralstream.brain.mapping.linear import as_targets, held_out
from ventralstream.brain.mapping.pls import PLS
from ventralstream.errors import VentralError


def data(rows, features, targets, decay=1.0, seed=0):
    """Features whose variances decay, as those of networks do; targets that read them out with noise."""
    random = np.random.default_rng(seed)
    scales = np.arange(1.0, features + 1) ** -decay
    turn = np.linalg.qr(random.normal(size=(features, features)))[0]
    x = (random.normal(size=(rows + 40, features)) * scales) @ turn
    y = x @ random.normal(size=(features, targets))
    y += random.normal(size=y.shape) * y.std()
    return x[:rows] + 5, y[:rows] + 3, x[rows:] + 5


def relative(ours, theirs):
    return np.abs(ours - theirs).max() / np.abs(theirs - theirs.mean(0)).max()


@pytest.mark.parametrize("decay", [0.0, 1.5])
@pytest.mark.parametrize(
    ("rows", "features", "targets"),
    [(200, 60, 30), (200, 60, 1), (150, 40, 90), (80, 150, 20), (60, 200, 90), (100, 100, 8)],
)
def test_equals_scikit_learn(rows, features, targets, decay):
    x, y, x_test = data(rows, features, targets, decay)
    theirs = PLSRegression(25, scale=False).fit(x, y).predict(x_test).reshape(40, targets)
    assert relative(PLS().fit(x, y).predict(x_test), theirs) < 1e-6


def test_splits_equal_fits_of_their_own_rows():
    x, y, _ = data(120, 40, 12)
    more, few = (np.arange(100), np.arange(100, 120)), (np.arange(40), np.arange(60, 80))  # rows subtracted; rows taken
    for features in (x, np.hstack([x] * 4)):  # primal; dual
        design = Design(features)
        predictions = held_out(PLS(10), design, as_targets(y, design).reshape(120, 3, 4), (more, few))
        for prediction, (train, test) in zip(predictions, (more, few), strict=True):
            for group in range(3):
                theirs = PLSRegression(10, scale=False).fit(features[train], y[train, 4 * group : 4 * group + 4])
                assert relative(prediction[:, group].numpy(), theirs.predict(features[test])) < 1e-9


def test_single_precision_features_are_computed_in_double():
    x, y, x_test = data(100, 30, 5)
    x, x_test = x.astype(np.float32), x_test.astype(np.float32)
    theirs = PLSRegression(25, scale=False).fit(x, y).predict(x_test.astype(np.float64))
    assert relative(PLS().fit(x, y).predict(x_test), theirs) < 1e-6


def test_constant_targets_disturb_nothing():
    x, y, x_test = data(100, 30, 5)
    y[:, 0] = 7.0
    prediction = PLS(10).fit(x, y).predict(x_test)
    assert prediction[:, 0] == pytest.approx(7.0)
    assert relative(prediction[:, 1:], PLSRegression(10, scale=False).fit(x, y[:, 1:]).predict(x_test)) < 1e-6


def test_exhausted_features_end_early():
    x, y, x_test = data(100, 4, 5)
    wide, wide_test = np.hstack([x, x]), np.hstack([x_test, x_test])  # rank 4
    least_squares = np.linalg.lstsq(np.c_[x, np.ones(100)], y, rcond=None)[0]
    assert relative(PLS(8).fit(wide, y).predict(wide_test), np.c_[x_test, np.ones(40)] @ least_squares) < 1e-9


def test_features_that_do_not_vary_predict_the_mean():
    _, y, _ = data(30, 4, 5)
    assert np.allclose(PLS(2).fit(np.ones((30, 3)), y).predict(np.ones((2, 3))), y.mean(0))


def test_too_many_rows_and_features_say_what_to_do(monkeypatch):
    monkeypatch.setattr("ventralstream.brain.mapping.design.LARGEST_SYSTEM", 20)
    with pytest.raises(VentralError, match=r"30 rows x 40 features are too many .* reduce the features first"):
        PLS().fit(np.ones((30, 40)), np.ones(30))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x, y: PLS().fit(x[:, :8], y), "25 components; 60 training rows and 8 features allow 1 to 8"),
        (lambda x, y: PLS().fit(x, y[:-1]), "60 rows of features but 59 of targets"),
        (lambda x, y: PLS().fit(x * np.where(np.arange(30) == 3, np.nan, 1), y), "1 of 30 features hold NaN"),
        (lambda x, y: PLS().fit(x, y * np.nan), "targets hold NaN"),
        (lambda x, y: PLS().fit(x[:, 0], y), r"expected \[rows, features\]"),
        (lambda x, y: PLS().fit(x, y).predict(x[:, :4]), r"expects \[rows, 30\]"),
    ],
)
def test_bad_input_is_a_sentence(call, says):
    x, y, _ = data(60, 30, 3)
    with pytest.raises(VentralError, match=says):
        call(x, y)


def test_the_number_of_threads_is_left_as_it_was():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        x, y, _ = data(60, 30, 3)
        PLS().fit(x, y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
