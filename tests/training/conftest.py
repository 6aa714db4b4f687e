from collections.abc import Callable
from pathlib import Path

import pytest
from small_network import small_network

import ventralstream as vs
from ventralstream.spec import NetworkSpec
from ventralstream.training import Place, Recipe


@pytest.fixture
def spec() -> NetworkSpec:
    return small_network()


@pytest.fixture
def recipe() -> Recipe:
    """Two epochs of six batches."""
    return Recipe(data="scenes", size=16, subset=50, val_subset=20, epochs=2, batch_size=8)


@pytest.fixture
def place() -> Place:
    """One thread, so that sums are always made in the same order; a checkpoint after each batch."""
    return Place(threads=1, checkpoint_every=0.0)


@pytest.fixture
def stop() -> Callable[[int], Callable[[int], None]]:
    """Makes a run fail after so many batches, before the checkpoint that would follow."""

    def after(batches: int) -> Callable[[int], None]:
        def fail(done: int) -> None:
            if done == batches:
                raise PowerCut("the power went out")

        return fail

    return after


class PowerCut(BaseException):
    """What no part of the program expects."""


@pytest.fixture
def weights() -> Callable[[Path], dict]:
    """The weights of a run's network."""
    return lambda folder: vs.load_network(folder).state_dict()
