import time
from itertools import pairwise

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ventralstream.data.scenes import MEAN, STD, _scans, compose_scenes
from ventralstream.errors import VentralError


def test_shapes_and_ranges():
    made = compose_scenes(50, split="train", clutter=[0, 2], size=40)
    assert made.images.shape == (50, 1, 40, 40) and made.images.dtype == torch.uint8
    assert made.labels.shape == (50,) and made.labels.dtype == torch.int64
    assert set(made.labels.tolist()) <= set(range(10))
    assert set(made.clutter.tolist()) == {0, 2}


def test_equal_seeds_give_equal_scenes_and_the_global_state_is_left_alone():
    before = torch.get_rng_state()
    one, same, other = (compose_scenes(20, split="test", clutter=[1, 2], seed=s) for s in (5, 5, 6))
    assert torch.equal(one.images, same.images) and torch.equal(one.labels, same.labels)
    assert torch.equal(one.clutter, same.clutter)
    assert not torch.equal(one.images, other.images)
    assert torch.equal(before, torch.get_rng_state())


def test_splits_share_no_scan_and_hold_every_digit():
    (train, train_digits), (test, test_digits) = _scans("train"), _scans("test")
    assert (len(train), len(test)) == (1347, 450)
    assert not {t.numpy().tobytes() for t in train} & {t.numpy().tobytes() for t in test}
    assert train_digits.bincount().min() > 125 and test_digits.bincount().min() > 40


def test_more_clutter_is_added_to_the_same_scene():
    levels = [compose_scenes(30, split="train", clutter=k, seed=1) for k in range(4)]
    assert all(torch.equal(made.labels, levels[0].labels) for made in levels)
    changed = [(made.images != levels[0].images).flatten(1).float().mean(1) for made in levels]
    assert changed[0].max() == 0
    assert all((more > less).all() for less, more in pairwise(changed))
    mixed = compose_scenes(30, split="train", clutter=[0, 3], seed=1)
    for row, level in enumerate(mixed.clutter.tolist()):
        assert torch.equal(mixed.images[row], levels[level].images[row])


def test_one_scene_of_several_levels():
    levels = {int(compose_scenes(1, split="train", clutter=[0, 3], seed=s).clutter) for s in range(8)}
    assert levels == {0, 3}


def test_clutter_makes_it_harder_but_not_hopeless():
    accuracy = []
    for level in (0, 3):
        train = compose_scenes(1500, split="train", clutter=level)
        test = compose_scenes(300, split="test", clutter=level)
        knn = KNeighborsClassifier(3).fit(train.images.flatten(1).float(), train.labels)
        accuracy.append(knn.score(test.images.flatten(1).float(), test.labels))
    assert accuracy[0] > 0.7
    assert 0.2 < accuracy[1] < accuracy[0] - 0.2


def test_mean_and_std_are_those_of_the_scenes():
    pixels = compose_scenes(1000, split="train", clutter=[0, 1, 2, 3]).images.float() / 255
    assert pixels.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert pixels.std().item() == pytest.approx(STD, abs=0.01)


def test_is_fast():
    compose_scenes(1, split="train")  # reads the scans
    start = time.process_time()
    compose_scenes(1000, split="train", clutter=[0, 1, 2, 3])
    assert time.process_time() - start < 2  # 10,000 in a few seconds, with much to spare for a busy machine


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "did you mean 'test'"),
        ({"clutter": -1}, "clutter must be a level of 0 or more"),
        ({"clutter": []}, "clutter must be a level of 0 or more"),
        ({"count": 0}, "a count of 1"),
        ({"size": 8}, "a size of 16"),
        ({"seed": -1}, "a seed of 0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(VentralError, match=message):
        compose_scenes(**({"count": 2, "split": "train"} | options))
