import numpy as np
import pytest
import torch

import ventralstream as vs
from ventralstream.evaluation import StepCounts, accuracy_of_views, accuracy_per_step, early_exit, views_of


@pytest.fixture
def network():
    """Untrained, but with logits that differ between images and steps."""
    network = vs.create_model("gru_shallow_cifar", seed=0, input_shape=(3, 16, 16), steps=8).train()
    with torch.no_grad():
        weight, bias = network.areas["decoder"].parameters()
        weight.mul_(20)
        bias.zero_()
    return network


@pytest.fixture
def batches(network):
    """Labels are what the network says at step 6, so that the accuracy there is 1."""
    images = 3 * torch.randn(30, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = network(images, readout=vs.PerStep()).logits[:, 1].argmax(-1)
    return list(zip(images.split(7), labels.split(7), strict=True))


def logits_of(network, batches, steps):
    with torch.no_grad():
        return torch.cat([network(x, steps, readout=vs.PerStep()).logits for x, _ in batches])


def test_accuracy_at_every_step(network, batches):
    found = accuracy_per_step(network, batches, steps=10)
    assert found.steps == (5, 6, 7, 8, 9) and found.times_ms == (50, 60, 70, 80, 90) and found.images == 30
    labels = torch.cat([y for _, y in batches])
    right = logits_of(network, batches, 10).argmax(-1) == labels[:, None]
    assert found.accuracy == pytest.approx(right.double().mean(0).tolist())
    assert found.accuracy[1] == 1 and min(found.accuracy) < 1
    assert found.decision == found.accuracy[-1]
    assert network.training, "it is put back into the mode it was in"
    assert accuracy_per_step(network, batches).steps == (5, 6, 7)


@pytest.mark.parametrize("readout", [vs.Mean(), vs.Mean(start=7), vs.MaxConfidence(), vs.Threshold(threshold=0.5)])
def test_the_decision_is_the_readouts(network, batches, readout):
    found = accuracy_per_step(network, batches, readout=readout)
    with torch.no_grad():
        decided = torch.cat([network(x, readout=readout).output for x, _ in batches]).argmax(-1)
    assert found.decision == pytest.approx((decided == torch.cat([y for _, y in batches])).double().mean().item())
    assert found.accuracy == accuracy_per_step(network, batches).accuracy


def test_counts_add_up(network, batches):
    whole, parts = StepCounts(network), [StepCounts(network), StepCounts(network)]
    for i, batch in enumerate(batches):
        whole.add(*batch)
        parts[i % 2].add(*batch)
    assert torch.equal(whole.counts, parts[0].counts + parts[1].counts)


def test_early_exit(network, batches):
    confidence = logits_of(network, batches, 8).softmax(-1).amax(-1)
    threshold = confidence[:, 0].median().item()
    found = early_exit(network, batches, threshold)
    crossed = confidence >= threshold
    step = crossed.int().argmax(1).where(crossed.any(1), confidence.argmax(1)) + 5
    assert found.mean_step == pytest.approx(step.double().mean().item()) and found.mean_step > 5
    assert found.median_step == step.median() and found.median_ms == 10 * found.median_step
    assert found.mean_ms == pytest.approx(10 * found.mean_step)
    assert found.confident == pytest.approx(crossed.any(1).double().mean().item()) and found.images == 30
    at_once = early_exit(network, batches, 0.0)
    assert at_once.mean_step == 5 and at_once.accuracy == accuracy_per_step(network, batches).accuracy[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_precisions(network, batches, dtype):
    exact = accuracy_per_step(network, batches)
    network.to(dtype)
    found, early = accuracy_per_step(network, batches), early_exit(network, batches, 0.3)
    assert found.images == 30 and found.accuracy == pytest.approx(exact.accuracy, abs=0.2)
    assert 0 <= early.accuracy <= 1 and early.images == 30
    in_arrays = [(x.numpy(), y) for x, y in batches]
    assert accuracy_per_step(network, in_arrays, np.int64(8)) == found


def test_nothing_to_evaluate_is_one_sentence(network, batches):
    empty = [(images[:0], labels[:0]) for images, labels in batches]
    for none in ([], empty):
        for measure in (accuracy_per_step, lambda n, b: early_exit(n, b, 0.5)):
            with pytest.raises(vs.VentralError, match=r"no images?"):
                measure(network, none)


def test_labels_of_other_images_are_one_sentence(network, batches):
    images, labels = batches[0]
    for wrong in (labels[:1], labels[:, None], labels.tolist(), None):
        for measure in (accuracy_per_step, lambda n, b: early_exit(n, b, 0.5)):
            with pytest.raises(vs.VentralError, match=r"labels is .*; expected a tensor of the classes of 7 images"):
                measure(network, [(images, wrong)])


def test_what_was_in_evaluation_mode_stays_so(network, batches):
    network.areas["conv1"].eval()
    before = {name: m.training for name, m in network.named_modules()}
    accuracy_per_step(network, batches)
    assert {name: m.training for name, m in network.named_modules()} == before


def test_views_are_the_image_mirrored_and_shifted():
    image = torch.arange(16.0 * 32).view(1, 1, 16, 32)
    same, mirrored = views_of(image, "mirrored")
    assert torch.equal(same, image) and torch.equal(mirrored, image.flip(3))
    ten = views_of(image, "ten")
    assert len(ten) == 10 and torch.equal(ten[0], image) and torch.equal(ten[1], image.flip(3))
    down_right = ten[2]  # shifted by 1 of 16 pixels down and by 2 of 32 to the right
    assert torch.equal(down_right[..., 1:, 2:], image[..., :-1, :-2])
    assert torch.equal(down_right[..., 0, 2:], image[..., 1, :-2])  # reflected
    assert torch.equal(ten[9], ten[8].flip(3)) and torch.equal(ten[8][..., :-1, :-2], image[..., 1:, 2:])


def test_several_views_are_decided_from_their_mean_probability(network, batches):
    found = accuracy_of_views(network, batches, "mirrored")
    with torch.no_grad():
        network.eval()
        right = [
            (network(x).output.softmax(-1) + network(x.flip(-1)).output.softmax(-1)).argmax(-1) == y for x, y in batches
        ]
    assert (found.views, found.images) == (2, 30)
    assert found.accuracy == pytest.approx(torch.cat(right).double().mean().item())
    assert 0 < found.accuracy < 1
