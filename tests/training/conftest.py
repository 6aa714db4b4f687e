from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback
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


class Stop(Callback):
    """Makes a run fail after so many batches, before the checkpoint that would follow."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx) -> None:
        if trainer.global_step == self.after:
            raise RuntimeError("the power went out")


@pytest.fixture
def stop() -> Callable[[int], Callback]:
    return Stop


@pytest.fixture
def weights() -> Callable[[Path], dict]:
    """The weights of a run's network."""
    return lambda folder: vs.load_network(folder).state_dict()
