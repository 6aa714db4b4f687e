import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import ventralstream as vs
from ventralstream.brain.behaviour.masking import compare_masking, masking_curves, soa_steps, trials_under_masking
from ventralstream.brain.recordings.datasets import human_occlusion
from ventralstream.errors import VentralError

SOAS_MS = [25.0, 50, 75, 100, 150]


@pytest.mark.parametrize(
    ("soa_ms", "dt_ms", "image_ms", "steps"),
    [
        (50, 10, None, (5, 0)),
        (75, 10, None, (8, 0)),
        (100, 10, 30, (3, 7)),
        (25, 25, None, (1, 0)),
        (30, 10, 30, (3, 0)),
    ],
)
def test_soas_in_steps(soa_ms, dt_ms, image_ms, steps):
    assert soa_steps(soa_ms, dt_ms, image_ms) == steps


def test_soas_that_cannot_be_shown():
    with pytest.raises(VentralError, match="are 0 and 0 steps of 100 ms"):
        soa_steps(25, 100)
    with pytest.raises(VentralError, match="an image of 50 ms and an SOA of 30 ms are 5 and 3 steps"):
        soa_steps(30, 10, 50)


def integrator(images=200, seed=0):
    """Answers rightly in proportion to how long it saw an image; a mask takes the last 40 ms away."""
    threshold_ms = np.random.default_rng(seed).uniform(0, 200, images)

    def answer(on, gap, masked):
        return np.where(threshold_ms < 10 * (on + gap) + (0 if masked else 40), 1, 0)

    return answer, np.ones(images, dtype=int)


def test_trials_of_a_model():
    answer, truth = integrator()
    trials = trials_under_masking(answer, truth, SOAS_MS, dt_ms=10)
    assert trials.dims == ("presentation",) and len(trials) == 200 * 5 * 2
    assert sorted(set(trials["soa_ms"].values)) == SOAS_MS
    assert sorted(set(trials["shown_soa_ms"].values)) == [20, 50, 80, 100, 150]  # whole steps of 10 ms
    curves = masking_curves(trials)
    assert curves.unmasked.x.tolist() == SOAS_MS and curves.unmasked.n.tolist() == [200] * 5
    np.testing.assert_allclose(curves.cost, 0.2, atol=0.08)
    assert (np.diff(curves.masked.accuracy) > 0).all()
    with pytest.raises(VentralError, match="one answer for each of 200 images"):
        trials_under_masking(lambda on, gap, masked: [1, 2], truth, SOAS_MS, dt_ms=10)


def test_comparison_of_curves():
    answer, truth = integrator()
    people = masking_curves(trials_under_masking(*integrator(seed=1), SOAS_MS, dt_ms=10))
    same = compare_masking(people, people)
    assert same.r == pytest.approx(1) and same.residual == 0 and same.inside == 10
    model = compare_masking(masking_curves(trials_under_masking(answer, truth, SOAS_MS, dt_ms=10)), people)
    assert model.r > 0.95 and model.residual < 0.1 and model.inside >= 7
    blind = trials_under_masking(lambda on, gap, masked: truth, truth, SOAS_MS, dt_ms=10)
    never = compare_masking(masking_curves(blind), people)
    assert np.isnan(never.r) and never.inside < 5
    assert json.loads(json.dumps(never.to_json()))["r"] is None
    fewer = masking_curves(trials_under_masking(answer, truth, SOAS_MS[:3], dt_ms=10))
    with pytest.raises(VentralError, match="same SOAs"):
        compare_masking(fewer, people)


def test_bad_trials_are_one_sentence():
    trials = trials_under_masking(*integrator(), SOAS_MS, dt_ms=10)
    with pytest.raises(VentralError, match="with and without a mask"):
        masking_curves(trials[trials["masked"].values])
    with pytest.raises(VentralError, match="unknown coordinate 'soa' of the assembly; did you mean 'soa_ms'"):
        masking_curves(trials, soa="soa")
    with pytest.raises(VentralError, match="SOAs differ"):
        masking_curves(trials[~(trials["masked"].values & (trials["soa_ms"].values == 25))])


def test_a_network_sees_image_and_mask():
    """The recipe of the docstring: a mask changes answers, more so the sooner it comes."""
    torch.manual_seed(0)
    net = vs.create_model("rgc_shallow_cifar", num_classes=10).eval()
    images, masks = torch.randn(4, 3, 32, 32), 3 * torch.randn(4, 3, 32, 32)
    logits = {}

    def answer(on, gap, masked):
        shown = vs.Masked(on, mask=6, gap=gap) if masked else vs.Flash(on)
        with torch.no_grad():
            out = net({"image": images, "mask": masks} if masked else images, steps=14, presentation=shown).logits[
                :, -1
            ]
        logits[on, masked] = out
        return out.argmax(-1).numpy()

    trials = trials_under_masking(answer, np.arange(4), [30, 80], dt_ms=10)
    assert len(trials) == 4 * 2 * 2
    change = [float((logits[on, True] - logits[on, False]).norm()) for on in (3, 8)]
    assert change[0] > change[1] > 0


@pytest.fixture
def people():
    root = os.environ.get("VENTRALSTREAM_DATA")
    if not root:
        pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
    return human_occlusion(Path(root))


def test_people_under_masking(people):
    curves = masking_curves(people, subject="subject")
    assert curves.unmasked.x.tolist() == SOAS_MS
    np.testing.assert_allclose(curves.unmasked.accuracy, [0.57, 0.65, 0.72, 0.73, 0.74], atol=0.005)
    np.testing.assert_allclose(curves.masked.accuracy, [0.25, 0.45, 0.55, 0.63, 0.72], atol=0.005)
    assert (np.diff(curves.cost) < 0).all()
    apart = curves.masked.high < curves.unmasked.low
    assert apart[:4].all() and not apart[4]
    unsure = masking_curves(people)
    assert (curves.masked.high - curves.masked.low).mean() > (unsure.masked.high - unsure.masked.low).mean()


def test_a_model_beside_people(people):
    answer, truth = integrator()
    found = compare_masking(
        masking_curves(trials_under_masking(answer, truth, SOAS_MS, dt_ms=10)),
        masking_curves(people, subject="subject"),
    )
    assert 0.5 < found.r < 1 and found.residual > 0.05
