import pytest

import ventralstream as vs
from ventralstream.training.task import metric_names


@pytest.fixture
def network():
    return vs.create_model("ff_shallow_cifar", seed=0, input_shape=(3, 16, 16), steps=8)


def test_metric_names_have_every_driven_step(network):
    names = metric_names(network.spec)
    assert names[-3:] == ("val_accuracy/step_05", "val_accuracy/step_06", "val_accuracy/step_07")
    assert {"train_loss", "train_accuracy", "lr"} <= set(names)
