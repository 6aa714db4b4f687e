import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import ventralstream as vs
from ventralstream.brain.behaviour.accuracy import accuracy_curve
from ventralstream.brain.behaviour.answers import correct_over_time, early_exits
from ventralstream.brain.behaviour.time_mapping import fit_time_mapping
from ventralstream.brain.recordings.datasets import human_speed_accuracy
from ventralstream.errors import VentralError

STEP_MS = 10.0 * np.arange(20)
TIMES_MS = np.array([200.0, 400, 600, 800, 1000])
OFFSET_MS, SCALE = 150.0, 4.0
BEST = {"easy": 0.9, "hard": 0.5}


def accuracy(level, step_ms):
    """What the planted model gets right: it rises between 40 and 160 ms of its own time, never quite smoothly."""
    return 0.1 + (BEST[level] - 0.1) * np.clip((step_ms - 40) / 120, 0, 1) ** 1.5


def planted_model(images=1000):
    """Answers whose mean is exactly `accuracy`, to 1 / images."""
    rank = (np.arange(images) + 0.5) / images
    right = np.concatenate([rank[:, None] < accuracy(level, STEP_MS) for level in BEST]).astype(float)
    coords = {"level": ("presentation", np.repeat(list(BEST), images)), "time_bin_start": ("time_bin", STEP_MS)}
    return xr.DataArray(right, dims=("presentation", "time_bin"), coords=coords)


def planted_people(subjects=12, trials=60, seed=0, unanswered=0.1):
    """People who are at `time_ms` as good as the model is at (time_ms - OFFSET_MS) / SCALE."""
    random = np.random.default_rng(seed)
    who, level, time = (
        a.ravel() for a in np.meshgrid(np.arange(subjects), np.repeat([0, 1], trials), TIMES_MS, indexing="ij")
    )
    names = np.array(list(BEST))[level.astype(int)]
    p = np.array([accuracy(n, (t - OFFSET_MS) / SCALE) for n, t in zip(names, time, strict=True)])
    right = (random.random(len(p)) < p).astype(float)
    right[random.random(len(p)) < unanswered] = np.nan
    coords = {"subject": who, "level": names, "time_ms": time}
    return xr.DataArray(right, dims=("presentation",), coords={k: ("presentation", v) for k, v in coords.items()})


@pytest.mark.parametrize("options", [{"level": "level"}, {"level": "level", "subject": "subject"}, {}])
def test_a_planted_mapping_is_found(options):
    found = fit_time_mapping(planted_model(), planted_people(subjects=30), resamples=25, **options)
    (low, high), (low_scale, high_scale) = found.offset_interval_ms, found.scale_interval
    assert low < OFFSET_MS < high and low_scale < SCALE < high_scale
    assert found.offset_ms == pytest.approx(OFFSET_MS, abs=60)
    assert found.scale == pytest.approx(SCALE, rel=0.15)
    assert found.residual < 0.03 and found.r > 0.99 and found.reason == ""
    assert found.n["trials"] + found.n["trials_unanswered"] == 30 * 2 * 60 * 5
    np.testing.assert_allclose(found.time_ms([0, 10]), [found.offset_ms, found.offset_ms + 10 * found.scale])
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["scale"] == found.scale and plain["time_ms"] == TIMES_MS.tolist()


def test_without_noise_it_is_exact():
    people = planted_model(2000)
    at = np.stack([np.interp((TIMES_MS - OFFSET_MS) / SCALE, STEP_MS, row) for row in people.values], 0)
    trials = xr.DataArray(
        at.ravel(),
        dims=("presentation",),
        coords={
            "time_ms": ("presentation", np.tile(TIMES_MS, len(at))),
            "level": ("presentation", np.repeat(people["level"].values, 5)),
        },
    )
    found = fit_time_mapping(planted_model(2000), trials, level="level", resamples=0)
    assert found.residual < 1e-4
    assert found.offset_ms == pytest.approx(OFFSET_MS, abs=2)
    assert found.scale == pytest.approx(SCALE, rel=5e-3)
    assert np.isnan(found.scale_interval).all()


def test_relative_accuracies_let_people_be_worse():
    people = planted_people(subjects=40)
    worse = people.copy(data=people.values * (np.random.default_rng(1).random(len(people)) < 0.6))
    absolute = fit_time_mapping(planted_model(), worse, level="level", resamples=0)
    relative = fit_time_mapping(planted_model(), worse, level="level", form="relative", resamples=0)
    assert relative.scale == pytest.approx(SCALE, rel=0.25)
    assert abs(relative.scale - SCALE) < abs(absolute.scale - SCALE)
    assert relative.people.values.max() > 1  # the easy level, over the mean of both


def test_what_determines_no_mapping_is_nan_with_the_reason():
    model, people = planted_model(), planted_people()
    still = model.copy(data=np.repeat(model.values[:, -1:], 20, 1))
    found = fit_time_mapping(still, people)
    assert np.isnan(found.scale) and found.reason == "the model's accuracy does not change over time"
    assert json.loads(json.dumps(found.to_json()))["scale"] is None
    steady = people.copy(data=np.arange(len(people)) // 5 % 2 * 1.0)
    assert "people's accuracy does not change" in fit_time_mapping(model, steady).reason
    # a jump from one step to the next fits a jump from one time to the next with any scale that is small enough
    late = people.copy(data=(people["time_ms"].values >= 1000) * 1.0)
    jump = model.copy(data=np.tile(STEP_MS >= 100, (2000, 1)) * 1.0)[:, 9:11]
    found = fit_time_mapping(jump, late, resamples=0)
    assert np.isnan(found.offset_ms) and "only 0 of people's times fall among the model's steps" in found.reason


def test_bad_input_is_one_sentence():
    model, people = planted_model(50), planted_people(2)
    with pytest.raises(VentralError, match="unknown form 'ratio'"):
        fit_time_mapping(model, people, form="ratio")
    with pytest.raises(VentralError, match="unknown coordinate 'target_rt_ms'"):
        fit_time_mapping(model, people, time="target_rt_ms")
    with pytest.raises(VentralError, match="'level' differ: \\['easy', 'hard'\\] and \\['easy'\\]"):
        fit_time_mapping(model[:50], people, level="level")
    with pytest.raises(VentralError, match="2 times or more; got 1"):
        fit_time_mapping(model, people[people["time_ms"].values == 200])
    with pytest.raises(VentralError, match="must rise"):
        fit_time_mapping(model[:, ::-1], people)
    with pytest.raises(VentralError, match="logits \\[image, step, class\\]"):
        correct_over_time(np.zeros((2, 3, 4)), [0, 1], [0.0, 10.0])
    with pytest.raises(VentralError, match="rising confidences"):
        early_exits(np.zeros((2, 3, 4)), [0, 1], [0.0, 10, 20], [0.9, 0.5])


def test_answers_over_time():
    logits = np.zeros((2, 3, 2))
    logits[0, :, 1] = [-1, 1, 3]
    logits[1, :, 1] = [-1, -2, 1]
    right = correct_over_time(logits, [1, 0], [0.0, 10, 20], presentation={"level": ["a", "b"]})
    assert right.values.tolist() == [[0, 1, 1], [1, 1, 0]]
    assert right["level"].values.tolist() == ["a", "b"] and right["time_bin_start"].values.tolist() == [0, 10, 20]


def test_exits_by_hand():
    confident = np.log(np.array([[0.6, 0.4], [0.3, 0.7], [0.05, 0.95]]))  # right, wrong, wrong
    unsure = np.log(np.array([[0.5, 0.5], [0.35, 0.65], [0.55, 0.45]]))  # right, wrong, right
    exits = early_exits(np.stack([confident, unsure]), [0, 0], [0.0, 10, 20], [0.5, 0.6, 0.65, 0.9, 0.99])
    assert exits["threshold"].values.tolist() == [0.5, 0.6, 0.65, 0.9]  # 0.99 changes no exit
    assert exits["exit_ms"].values.tolist() == [[0, 0, 10, 20], [0, 10, 10, 20]]
    assert exits.values.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]  # never sure: the answer of its most confident step
    assert exits["time_bin_start"].values.tolist() == [0, 5, 10, 20]


def test_exits_are_network_decides():
    torch.manual_seed(0)
    net = vs.create_model("rgc_shallow_cifar", num_classes=10).eval()
    images = 3 * torch.randn(6, 3, 32, 32)
    out = net(images, steps=10, readout=vs.PerStep())
    truth = np.arange(6)
    best = out.logits.detach().softmax(-1).amax(-1).amax(1).sort().values
    threshold = float(best[2] + best[3]) / 2  # three of the images get there
    decision = net.decide(images, threshold=threshold, steps=10)
    exits = early_exits(out.logits.detach().numpy(), truth, np.asarray(out.times_ms), [threshold])
    sure = decision.confident.numpy()
    assert sure.sum() == 3
    np.testing.assert_array_equal(exits["exit_ms"].values[sure, 0], decision.times_ms.numpy()[sure])
    np.testing.assert_array_equal(exits.values[:, 0], decision.logits.argmax(-1).numpy() == truth)
    assert (exits["exit_ms"].values[~sure, 0] == out.times_ms[-1]).all()


@pytest.fixture
def people_in_time():
    root = os.environ.get("VENTRALSTREAM_DATA")
    if not root:
        pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
    return human_speed_accuracy(Path(root))


def test_people_get_better_with_time_and_worse_with_noise(people_in_time):
    noise = people_in_time[people_in_time["condition"].values == "noise"]
    curve = accuracy_curve(
        noise.values, noise["time_ms"].values, x_name="time (ms)", subject=noise["subject"].values, resamples=200
    )
    assert curve.x.tolist() == TIMES_MS.tolist()
    np.testing.assert_allclose(curve.accuracy, [0.107, 0.109, 0.243, 0.392, 0.403], atol=5e-4)
    assert curve.high[0] < curve.low[2] and curve.high[2] < curve.low[3]


def test_a_mapping_to_real_people(people_in_time):
    """A model that is people's own curve at a planted pace, at real sample sizes."""
    noise = people_in_time[people_in_time["condition"].values == "noise"]
    levels, rows, rank = np.unique(noise["level"].values), [], (np.arange(400) + 0.5) / 400
    for level in levels:
        of = noise[noise["level"].values == level]
        mean = [np.nanmean(of.values[of["time_ms"].values == t]) for t in TIMES_MS]
        rows.append(rank[:, None] < np.interp(OFFSET_MS + SCALE * STEP_MS * 1.2, TIMES_MS, mean))
    coords = {"level": ("presentation", np.repeat(levels, 400)), "time_bin_start": ("time_bin", STEP_MS)}
    model = xr.DataArray(np.concatenate(rows).astype(float), dims=("presentation", "time_bin"), coords=coords)
    found = fit_time_mapping(model, noise, level="level", subject="subject", resamples=20)
    # people change between 400 and 800 ms only, so that these times are found better than the two parameters
    for time_ms, tolerance_ms in ((500, 20), (600, 15), (700, 20)):
        assert found.time_ms((time_ms - OFFSET_MS) / (1.2 * SCALE)) == pytest.approx(time_ms, abs=tolerance_ms)
    assert found.residual < 0.01
    assert found.scale_interval[0] < found.scale < found.scale_interval[1]


@pytest.mark.parametrize(
    ("logits", "truth", "times", "message"),
    [
        (np.zeros((2, 3, 4)), ["1", "2"], [0, 10, 20], "the right classes are numbers"),
        (np.zeros((2, 3, 4)), [1, 4], [0, 10, 20], "a right class is 4; expected indices of the 4 classes"),
        (np.zeros((2, 3, 4)), [1, np.nan], [0, 10, 20], "a right class is nan"),
        (np.full((2, 3, 4), np.nan), [1, 2], [0, 10, 20], "24 of 24 logits are not finite"),
        (np.zeros((2, 3, 4)), [1, 2], [20, 10, 0], "the times of steps rise"),
        (np.zeros((2, 3, 4)), [1, 2], [0, 10, np.nan], "the times of steps rise"),
        (np.zeros((0, 3, 4)), [], [0, 10, 20], "there are no answers"),
    ],
)
def test_answers_that_could_never_be_right_are_refused(logits, truth, times, message):
    for call in (correct_over_time, lambda *given: early_exits(*given, [0.5])):
        with pytest.raises(VentralError, match=message):
            call(logits, truth, times)
