import random

import pytest
import torch
import torch.nn.functional as F
from naive import frames_of, unroll

import ventralstream as vs
from ventralstream.training import DecisionLoss, MeanLoss, RandomDurationLoss, RandomStepLoss, WeightedLoss
from ventralstream.training.task import Task

STEPS = 8
DRIVEN = (5, 6, 7)


@pytest.fixture
def network():
    return vs.create_model("timedecay_shallow_cifar", seed=0, input_shape=(3, 16, 16), steps=STEPS)


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, 16, 16, generator=rng) * 3, torch.tensor([1, 2, 3])


def logits_of(network, images, presentation=None):
    """Of every step, by the naive unroll."""
    spec = network.spec
    outputs, _ = unroll(network, frames_of(network, presentation or spec.presentation, images, STEPS))
    return {step: outputs[spec.readout_area, step] for step in DRIVEN}


def gradients(network, loss):
    return torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True)


def check(network, batch, loss, expected, rng=None):
    images, labels = batch
    loss.check_fits(network.spec)
    view = loss.view(network.spec, rng or random.Random(0))
    found, _ = Task(network, loss)(images, labels, view)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(gradients(network, found), gradients(network, expected), strict=True):
        theirs = torch.zeros_like(ours) if theirs is None and ours is not None else theirs
        torch.testing.assert_close(ours, theirs)


def test_the_decisions(network, batch):
    logits = logits_of(network, batch[0])
    check(network, batch, DecisionLoss(0.1), F.cross_entropy(logits[7], batch[1], label_smoothing=0.1))
    network.spec = network.spec.replace(readout=vs.Mean(start=6))
    check(network, batch, DecisionLoss(), F.cross_entropy((logits[6] + logits[7]) / 2, batch[1]))


def test_the_mean_over_the_driven_steps(network, batch):
    by_step = [F.cross_entropy(x, batch[1], label_smoothing=0.2) for x in logits_of(network, batch[0]).values()]
    check(network, batch, MeanLoss(0.2), torch.stack(by_step).mean())


def test_weighted_steps(network, batch):
    logits = logits_of(network, batch[0])
    late = F.cross_entropy(logits[6], batch[1]) + 3 * F.cross_entropy(logits[7], batch[1])
    check(network, batch, WeightedLoss(step_weights=(1.0, 3.0)), late / 4)
    check(network, batch, WeightedLoss(step_weights=(2.0, 0.0, 0.0)), F.cross_entropy(logits[5], batch[1]))


def test_a_random_step_is_the_last_of_a_shorter_unroll(network, batch):
    logits = logits_of(network, batch[0])
    drawn = set()
    for seed in range(20):
        step = RandomStepLoss().view(network.spec, random.Random(seed)).steps - 1
        drawn.add(step)
        if seed < 3:
            check(network, batch, RandomStepLoss(), F.cross_entropy(logits[step], batch[1]), random.Random(seed))
    assert drawn == set(DRIVEN)


def test_a_random_duration_of_the_image(network, batch):
    loss = RandomDurationLoss(shortest=2)
    views = [loss.view(network.spec, random.Random(seed)) for seed in range(40)]
    shown = {view.presentation.last_change or STEPS for view in views}
    assert shown == set(range(2, STEPS + 1)) and {view.steps for view in views} == {STEPS}
    for seed in range(3):
        logits = logits_of(network, batch[0], views[seed].presentation)
        check(network, batch, loss, F.cross_entropy(logits[7], batch[1]), random.Random(seed))


@pytest.mark.parametrize(
    ("loss", "spec", "message"),
    [
        (WeightedLoss(step_weights=(1.0,) * 4), {}, "weights 4 steps, but the image drives 3 of the 8 steps"),
        (RandomDurationLoss(shortest=9), {}, "shortest duration is 9 steps"),
        (RandomDurationLoss(), {"presentation": vs.Flash(on=2, before=1)}, "begins with a blank"),
        (DecisionLoss(), {"steps": 4}, "image"),
    ],
)
def test_losses_that_do_not_fit_are_refused(network, loss, spec, message):
    with pytest.raises(vs.VentralError, match=message):
        loss.check_fits(network.spec.replace(**spec))


def test_weights_of_nothing_are_refused():
    with pytest.raises(vs.VentralError, match="at least one above 0"):
        WeightedLoss(step_weights=(0.0, 0.0))
