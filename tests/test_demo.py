import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from report.test_page import checked
from typer.testing import CliRunner

from ventralstream.checkpoints import load_network
from ventralstream.cli import app
from ventralstream.cost import cost
from ventralstream.demo import experiment
from ventralstream.demo.compare import Interval, accuracy, bootstrap_mean, paired_difference, verdict
from ventralstream.demo.early_exit import early_exit
from ventralstream.demo.experiment import FEEDFORWARD, MINIMAL, NETWORKS, RECURRENT, Settings
from ventralstream.demo.explorer import explorer_page
from ventralstream.demo.metrics import metrics
from ventralstream.demo.output import write
from ventralstream.demo.report import pick_examples, report
from ventralstream.errors import VentralError
from ventralstream.models import count_parameters
from ventralstream.readout import PerStep

TINY = Settings(
    epochs=1, training_scenes=24, batch_size=8, test_scenes=40, steps=8, channels=(2, 2, 2, 2, 2), quick=True
)

counted_once = functools.cache(cost)


@pytest.fixture(autouse=True)
def costs_are_counted_once(monkeypatch):
    """Counting operations takes seconds, and many tests ask it of the same three networks."""
    for module in ("metrics", "report"):
        monkeypatch.setattr(f"ventralstream.demo.{module}.cost", counted_once)


# --- statistics -------------------------------------------------------------------------------------------


def test_accuracy_has_wilsons_interval():
    found = accuracy(8, 10)
    assert found.value == 0.8
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert accuracy(10, 10).high == pytest.approx(1)
    with pytest.raises(VentralError):
        accuracy(11, 10)


def test_bootstrap_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).integers(-1, 2, (2000, 4))
    found = bootstrap_mean(values, seed=0)
    spread = 1.96 * values.mean(1).std() / np.sqrt(2000)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(spread, rel=0.05)
    assert found.value - found.low == pytest.approx(spread, rel=0.05)
    assert found == bootstrap_mean(values, seed=0)


def test_levels_of_a_scene_are_drawn_together():
    once = np.random.default_rng(1).random((500, 1)) < 0.5
    alike = np.repeat(once, 4, 1)  # four levels that tell nothing new
    nothing = np.zeros_like(alike)
    one, four = (paired_difference(x, np.zeros_like(x), 0) for x in (once, alike))
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.05)
    assert paired_difference(nothing, nothing, 0) == Interval(0, 0, 0)
    with pytest.raises(VentralError, match="paired"):
        paired_difference(once, alike, 0)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ([(0.01, 0.03), (0.001, 0.02)], "helped"),
        ([(0.01, 0.03), (-0.001, 0.02)], "no clear difference"),
        ([(0.0, 0.03), (0.01, 0.02)], "no clear difference"),
        ([(0.01, 0.03), (-0.02, -0.001)], "did not help"),
        ([(-0.03, -0.01), (-0.01, 0.02)], "did not help"),
    ],
)
def test_verdict_needs_every_control(bounds, expected):
    assert verdict([Interval((low + high) / 2, low, high) for low, high in bounds]) == expected


# --- the experiment ---------------------------------------------------------------------------------------


def test_controls_are_what_they_are_called():
    specs = experiment.specs(Settings())
    recurrent, minimal, feedforward = (specs[name] for name in NETWORKS)
    assert minimal == recurrent.replace(name=MINIMAL, steps=minimal.steps)
    assert minimal.steps < recurrent.steps
    assert not any(area.cell for area in feedforward.areas)
    assert count_parameters(feedforward) == pytest.approx(count_parameters(recurrent), rel=0.04)


def test_every_step_that_the_image_drives_is_trained():
    for spec in experiment.specs(TINY).values():
        assert spec.readout == PerStep()
    assert TINY.recipe().data == "scenes"


def test_a_run_of_the_same_settings_is_carried_on_and_another_one_begun_anew(tmp_path):
    spec = experiment.specs(TINY)[FEEDFORWARD]
    first = experiment.trained(spec, TINY.recipe(), tmp_path / "run")
    sessions = len(json.loads((tmp_path / "run" / "run.json").read_text())["sessions"])
    again = experiment.trained(spec, TINY.recipe(), tmp_path / "run")
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]) == sessions
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = experiment.trained(spec, dataclasses.replace(TINY, seed=1).recipe(), tmp_path / "run")
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("option", "value"), [("seed", -1), ("epochs", 0), ("batch_size", 0)])
def test_senseless_settings_are_refused(option, value):
    with pytest.raises(VentralError):
        dataclasses.replace(TINY, **{option: value}).recipe()


# --- early exit -------------------------------------------------------------------------------------------


def sure_from(first_sure, steps=4):
    """Probabilities [1, N, T, 10] of a network that becomes sure of digit 0 at the given steps."""
    p = np.full((1, len(first_sure), steps, 10), 0.05, np.float32)
    for n, step in enumerate(first_sure):
        p[0, n, step:, 0] = 0.95
    return p


def test_early_exit_takes_the_first_sure_step_and_compares_with_the_mean_time():
    p = sure_from([0, 0, 2, 4])  # the last one is never sure, and answered at the last step
    correct = np.array([[[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]], bool)
    found = early_exit(p, correct, range(5, 9), seed=0)
    assert found.mean_step == 5 + (0 + 0 + 2 + 3) / 4
    assert found.accuracy == 1.0
    assert found.accuracy_at_mean == pytest.approx(0.75 * 0.25 + 0.25 * 0.5)  # at step 6.25
    assert found.difference.value == pytest.approx(found.accuracy - found.accuracy_at_mean)
    assert found.share_per_step == (0.5, 0.0, 0.25, 0.25)


@pytest.mark.parametrize(("late_is_right", "answer"), [(True, "paid"), (False, "cost accuracy")])
def test_early_exit_pays_if_time_goes_to_the_scenes_that_need_it(late_is_right, answer):
    p = sure_from([0, 2] * 50)
    correct = np.zeros((1, 100, 4), bool)
    correct[0, ::2] = late_is_right  # the easy half: right from the first step on
    correct[0, 1::2, 2:] = late_is_right  # the hard half: right once the network is sure
    if not late_is_right:
        correct[0, :, 1] = True  # at the mean time it would have been right
    assert early_exit(p, correct, range(5, 9), seed=0).answer == answer


def test_early_exit_at_one_time_for_all_makes_no_difference():
    p, correct = sure_from([1] * 30), np.random.default_rng(0).random((1, 30, 4)) < 0.5
    found = early_exit(p, correct, range(5, 9), seed=0)
    assert found.answer == "made no clear difference"
    assert found.difference.value == 0


# --- what comes out of it ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    return experiment.run(TINY, tmp_path_factory.mktemp("demo"))


def answering(run, right):
    """The run with made-up answers: each network is right about the first `right[name]` of the scenes."""
    labels, probabilities = run.labels(), {}
    for name, p in run.probabilities.items():
        answers = np.where(np.arange(labels.shape[1]) < right[name], labels, (labels + 1) % 10)
        probabilities[name] = np.broadcast_to(np.eye(10, dtype=np.float32)[answers][:, :, None], p.shape)
    return dataclasses.replace(run, probabilities=probabilities)


@pytest.mark.parametrize(
    ("recurrent", "minimal", "feedforward", "expected"),
    [
        (30, 15, 10, "helped"),
        (10, 15, 30, "did not help"),
        (15, 30, 10, "did not help"),
        (20, 20, 20, "no clear difference"),
        (30, 30, 10, "no clear difference"),
    ],
)
def test_the_verdict_follows_the_answers(tiny_run, recurrent, minimal, feedforward, expected):
    right = {RECURRENT: recurrent, MINIMAL: minimal, FEEDFORWARD: feedforward}
    found = metrics(answering(tiny_run, right))
    assert found["verdict"]["answer"] == expected
    assert {name: facts["accuracy"] for name, facts in found["networks"].items()} == {
        name: pytest.approx(count / 40) for name, count in right.items()
    }
    by_control = {c["control"]: c for c in found["verdict"]["comparisons"]}
    assert by_control[FEEDFORWARD]["difference"] == pytest.approx((recurrent - feedforward) / 40)
    assert by_control[MINIMAL]["difference"] == pytest.approx((recurrent - minimal) / 40)


def test_metrics_are_those_of_the_answers(tiny_run):
    found = json.loads(json.dumps(metrics(tiny_run)))
    rows = found["accuracy"]
    assert len(rows) == 4 * sum(len(tiny_run.steps(name)) for name in NETWORKS)
    for row in rows:
        level, step = experiment.CLUTTER.index(row["clutter"]), tiny_run.steps(row["network"]).index(row["step"])
        answers = tiny_run.probabilities[row["network"]][level, :, step].argmax(-1)
        assert row["correct"] == (answers == tiny_run.scenes[level].labels.numpy()).sum()
        assert row["time_ms"] == 10 * row["step"]
        assert row["ci95"][0] <= row["accuracy"] == row["correct"] / row["n"] <= row["ci95"][1]
    for name in NETWORKS:
        assert np.sum(found["confusion"][name]["last"]) == 160
        last = sum(r["correct"] for r in rows if (r["network"], r["step"]) == (name, tiny_run.steps(name)[-1]))
        assert np.trace(found["confusion"][name]["last"]) == last
        changes = found["answer_changes"][name]
        assert changes.pop("scenes") == sum(changes.values()) == 160
        assert changes["wrong_to_right"] + changes["right_at_both"] == last


def test_answers_are_those_of_the_network(tiny_run):
    network, scenes = tiny_run.networks[RECURRENT], tiny_run.scenes[1]
    images = (scenes.images[:5].float() / 255 - network.spec.mean[0]) / network.spec.std[0]
    with torch.no_grad():
        logits = network(images).logits
    assert np.allclose(tiny_run.probabilities[RECURRENT][1, :5], logits.softmax(-1), atol=1e-6)
    assert list(tiny_run.steps(RECURRENT)) == list(range(5, 8))


def test_examples_are_those_whose_answer_changed_most():
    labels = np.zeros((2, 8), int)
    p = np.full((2, 8, 2, 10), 0.01, np.float32)
    first = np.array([[0.2, 0.2, 0.9, 0.2, 0.9, 0.2, 0.2, 0.2], [0.9, 0.2, 0.9, 0.2, 0.2, 0.2, 0.2, 0.2]])
    last = np.array([[0.9, 0.8, 0.9, 0.2, 0.1, 0.7, 0.6, 0.6], [0.9, 0.9, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2]])
    p[..., 0, 0], p[..., 1, 0] = first, last
    p[..., 0, 1], p[..., 1, 1] = 0.5, 0.5  # the rival
    assert pick_examples(p, labels) == [(0, 0), (1, 1), (0, 5), (0, 6), (0, 4), (1, 2)]


def test_report_is_self_contained_and_says_what_was_found(tiny_run):
    found = metrics(tiny_run)
    html = report(tiny_run, found)
    checker = checked(html)
    assert checker.fetched == ["explorer.html"]  # a link to the page beside it, to be followed by hand
    assert not {"script", "link", "iframe"} & set(checker.tags)
    assert "url(" not in html
    assert "@import" not in html
    headline, rest = found["verdict"]["sentence"].split(": ", 1)
    assert f"<h1>{headline}.</h1>" in html
    assert rest.removeprefix("after") in html
    assert "This is a quick run" in html
    serious = dataclasses.replace(tiny_run, settings=dataclasses.replace(TINY, quick=False))
    assert "This is a quick run" not in report(serious, metrics(serious))


def test_networks_can_be_loaded_again(tiny_run, tmp_path):
    experiment.run(TINY, tmp_path / "unfinished")
    measured = metrics(tiny_run)
    write(measured, report(tiny_run, measured), explorer_page(tiny_run), tmp_path)
    for name in NETWORKS:
        loaded = load_network(tmp_path / "networks" / name)
        again = experiment.answer(loaded, tiny_run.scenes[0])
        assert np.array_equal(again, tiny_run.probabilities[name][0])
    assert not list(tmp_path.rglob("*.part"))


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_command(monkeypatch):
    monkeypatch.setattr(experiment, "quick", lambda seed=0: dataclasses.replace(TINY, seed=seed))

    def run(*args):
        return CliRunner().invoke(app, ["demo", "--quick", *map(str, args)])

    return run


def test_command_writes_the_report_and_ends_with_it(tiny_command, tmp_path):
    done = tiny_command("--out", tmp_path / "a", "--seed", 3, "--epochs", 2)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert (found["settings"]["seed"], found["settings"]["epochs"]) == (3, 2)
    assert done.output.splitlines()[-4:] == [
        found["verdict"]["sentence"],
        found["early_exit"]["sentence"],
        f"The recurrent network, step by step: {tmp_path / 'a' / 'explorer.html'}",
        f"Report: {tmp_path / 'a' / 'report.html'}",
    ]
    again = tiny_command("--out", tmp_path / "b", "--seed", 3, "--epochs", 2)
    assert again.exit_code == 0
    other = json.loads((tmp_path / "b" / "metrics.json").read_text())
    for key in ("verdict", "accuracy", "confusion", "answer_changes", "settings"):
        assert found[key] == other[key]


def test_an_interrupted_demo_leaves_the_last_one_whole(tiny_command, tmp_path, monkeypatch):
    assert tiny_command("--out", tmp_path).exit_code == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "answer", interrupt)
    assert tiny_command("--out", tmp_path, "--seed", 1).exit_code != 0
    kept = {p: p.read_bytes() for p in before}
    assert kept == before
    assert {p.parts[len(tmp_path.parts)] for p in tmp_path.rglob("*")} - {"unfinished"} == {
        "metrics.json",
        "explorer.html",
        "report.html",
        "networks",
    }
    monkeypatch.undo()


def test_results_are_shown_although_they_cannot_be_written(tiny_command, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ventralstream.demo.output.write_text", full)
    done = tiny_command("--out", tmp_path)
    assert "Recurrence" in done.output
    assert isinstance(done.exception, VentralError)
    assert "No space left on device" in str(done.exception)


def test_a_folder_that_cannot_be_is_refused_before_training(tiny_command, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "run", lambda *_: pytest.fail("trained in vain"))
    (tmp_path / "file").write_text("")
    done = tiny_command("--out", tmp_path / "file")
    assert isinstance(done.exception, VentralError)
    assert "cannot be a folder" in str(done.exception)
