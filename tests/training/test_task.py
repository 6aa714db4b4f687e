import pytest
import torch
import torch.nn.functional as F

import ventralstream as vs
from ventralstream.training.task import loss_of, metric_names


@pytest.fixture
def network():
    return vs.create_model("ff_shallow_cifar", seed=0, input_shape=(3, 16, 16), steps=8)


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, 16, 16, generator=rng), torch.tensor([1, 2, 3])


def test_the_loss_is_the_cross_entropy_of_the_decision(network, batch):
    images, labels = batch
    readout = vs.Mean(start=6)
    logits = network(images, readout=vs.PerStep()).logits
    expected = F.cross_entropy(logits[:, -2:].mean(1), labels)
    assert torch.allclose(loss_of(network(images, readout=readout), labels, readout), expected)
    smooth = F.cross_entropy(logits[:, -1], labels, label_smoothing=0.1)
    assert torch.allclose(loss_of(network(images), labels, vs.Last(), 0.1), smooth)


def test_per_step_is_the_mean_over_all_steps_from_the_first_driven_one(network, batch):
    images, labels = batch
    out = network(images * 3, readout=vs.PerStep())
    assert out.steps == (5, 6, 7)
    by_step = [F.cross_entropy(out.logits[:, i], labels) for i in range(3)]
    assert torch.allclose(loss_of(out, labels, vs.PerStep()), torch.stack(by_step).mean())


def test_metric_names_have_every_driven_step(network):
    names = metric_names(network.spec)
    assert names[-3:] == ("val_accuracy/step_05", "val_accuracy/step_06", "val_accuracy/step_07")
    assert {"train_loss", "train_accuracy", "lr"} <= set(names)
