import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from ventralstream.brain.splits import halves, train_test_splits
from ventralstream.errors import VentralError

OBJECTS = [f"object-{i % 4}" for i in range(80)]


def test_shuffles_are_brain_scores():
    theirs = StratifiedShuffleSplit(10, train_size=0.9, random_state=1).split(np.zeros(80), OBJECTS)
    ours = train_test_splits(80, strata=OBJECTS)
    for (train, test), (their_train, their_test) in zip(ours, theirs, strict=True):
        assert (train == their_train).all() and (test == their_test).all()


def test_strata_are_kept_in_proportion():
    for train, test in train_test_splits(80, 5, train_size=0.5, strata=OBJECTS):
        assert len(train) == len(test) == 40 and not set(train) & set(test)
        assert set(np.bincount([int(OBJECTS[i][-1]) for i in test])) == {10}


@pytest.mark.parametrize("strata", [None, OBJECTS])
def test_folds_test_every_stimulus_once(strata):
    tested = np.concatenate([test for _, test in train_test_splits(80, 5, "k_fold", strata=strata)])
    assert sorted(tested) == list(range(80))


def test_seed_decides():
    first, again, other = (train_test_splits(50, 1, seed=s)[0][1].tolist() for s in (3, 3, 4))
    assert first == again != other


def test_halves():
    for first, second in halves(7, 3):
        assert len(first) == 3 and sorted([*first, *second]) == list(range(7))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: train_test_splits(80, scheme="shufle"), "did you mean 'shuffle'"),
        (lambda: train_test_splits(3, strata=["a", "b"]), "2 strata labels for 3 stimuli"),
        (lambda: train_test_splits(3, strata=["a", "a", "b"]), "cannot make 10 shuffled splits of 3 stimuli"),
        (lambda: train_test_splits(3, 5, "k_fold"), "cannot make 5 k-fold splits of 3 stimuli"),
        (lambda: halves(1), "cannot split 1 item"),
    ],
)
def test_bad_input_is_a_sentence(call, says):
    with pytest.raises(VentralError, match=says):
        call()


@pytest.mark.parametrize(
    "options", [{"train_size": 1}, {"train_size": 0}, {"train_size": np.nan}, {"splits": 10**9}, {"splits": 0}]
)
def test_what_cannot_be_split_is_refused_at_once(options):
    with pytest.raises(VentralError, match=r"train_size is|splits is"):
        train_test_splits(80, **options)
    with pytest.raises(VentralError, match="at most 100000"):
        halves(80, 10**9)
