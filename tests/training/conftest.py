from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

import ventralstream as vs
from ventralstream.layers.specs import Act, Conv, Dropout, GlobalPool, Linear, Norm
from ventralstream.models.convrnn import chain
from ventralstream.spec import Area, NetworkSpec
from ventralstream.training import Place, Recipe


@pytest.fixture
def spec() -> NetworkSpec:
    """A small recurrent network with what is hard to carry on exactly: batch statistics and dropout."""
    from ventralstream.cells import GRU

    areas = [
        Area("v1", (Conv(4, 3, 2), Norm("batch"), Act("relu"))),
        Area("it", (Conv(6, 3, 2), Dropout(0.3)), GRU()),
        Area("decoder", (GlobalPool(), Linear(10))),
    ]
    return NetworkSpec("small", tuple(areas), chain(areas), "decoder", (1, 32, 32), 5, mean=(0.5,), std=(0.5,))


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
