"""Studies and workers: what comes of trials, whatever happens in them; that a study is the same twice; bad input."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy
from small_space import small
from small_study import PLACE, RECIPE

from ventralstream.errors import Interrupted, VentralError
from ventralstream.jsonable import tagged
from ventralstream.search import OneOf, load_space
from ventralstream.search.attempt import Attempt
from ventralstream.search.objective import Hooks, Objective, Outcome, Training
from ventralstream.search.options import Search
from ventralstream.search.space import Candidate
from ventralstream.search.status import status
from ventralstream.search.storage import connect
from ventralstream.search.study import Study, create_study, open_study
from ventralstream.search.worker import work
from ventralstream.training.finite import NotFinite

Made = Callable[..., Study]


def outcomes(study: Study) -> list[tuple[str, str]]:
    return [(trial.state.name, trial.user_attrs["outcome"]) for trial in study.trials]


def test_a_study_trains_its_trials(made: Made) -> None:
    study = made(objective=Training(), trials=3)
    assert work(study, PLACE) == 3
    assert outcomes(study) == [("COMPLETE", "trained")] * 3
    first, *_ = study.trials
    assert first.user_attrs["known"] == "wide" and first.params["width"] == 16
    for trial in study.trials:
        noted = trial.user_attrs
        assert set(trial.params) == set(small.parameters)
        assert trial.value == max(trial.intermediate_values.values()) and set(trial.intermediate_values) == {1, 2}
        assert noted["parameters"] > 0 and noted["flops"] > 0 and noted["seconds"] > 0 and ":" in noted["worker"]
        assert len(noted["accuracy_by_step"]) == 2 and json.loads(noted["spec"])["name"] == "small"
        assert (study.folder / f"trial_{trial.number:05d}" / "model.safetensors").is_file()
        assert not (study.folder / f"trial_{trial.number:05d}" / "checkpoints").exists()
    assert study.best.value == max(t.value for t in study.trials) and study.median in study.trials
    kept = study.optuna.user_attrs
    assert kept["space"]["name"] == "small" and kept["seed"] == 0 and kept["script"] == Path(small.file).read_text()
    assert kept["versions"]["optuna"] and "commit" in kept and kept["recipe"]["epochs"] == 2


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_one_worker_with_one_seed_gives_the_same_study_twice(made: Made, sampler: str) -> None:
    one, two = (made(name, sampler=sampler, trials=8, seed=3) for name in ("one", "two"))
    other = made("other", sampler=sampler, trials=8, seed=4)
    work(one)
    for wanted in (3, 5):  # in two sessions
        work(two, trials=wanted)
    work(other)
    told = [[(t.params, t.value, t.user_attrs["spec_hash"]) for t in study.trials] for study in (one, two, other)]
    assert told[0] == told[1] and told[0] != told[2]


def test_real_training_gives_the_same_study_twice(made: Made) -> None:
    one, two = (made(name, objective=Training(), trials=2) for name in ("one", "two"))
    for study in (one, two):
        work(study, PLACE)
    assert [(t.params, t.intermediate_values) for t in one.trials] == [
        (t.params, t.intermediate_values) for t in two.trials
    ]


def test_a_grid_tries_every_point_once(made: Made) -> None:
    from ventralstream.search import search_space

    space = search_space(width=OneOf((4, 8)), kernel=OneOf((1, 3)), cell=OneOf())(small.make)
    study = made(space=space, sampler="grid")
    assert study.search.trials == 8
    work(study)
    assert len({tuple(sorted(t.params.items())) for t in study.trials}) == 8
    with pytest.raises(
        VentralError, match=r"a grid needs a few values of each parameter, 'recipe.optimizer.lr' has any"
    ):
        made("fine", sampler="grid")


def test_a_candidate_that_was_tried_before_gets_its_value(made: Made) -> None:
    study = made(trials=3)
    study.optuna.enqueue_trial(dict(small.known["wide"]))
    work(study)
    first, again = study.trials[:2]
    assert again.user_attrs["outcome"] == "known" and again.user_attrs["same_as"] == first.number
    assert again.value == first.value and again.intermediate_values == first.intermediate_values


@tagged("test_breaks")
@dataclass(frozen=True)
class Breaks(Objective):
    """What a trial may come to; every one gets through the first epoch."""

    how: str = ""
    costs: ClassVar[bool] = False
    known: ClassVar[bool] = False

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        hooks.report(1, 0.5)
        if self.how == "memory":
            raise MemoryError
        if self.how == "device":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        if self.how == "diverged":
            raise NotFinite("the loss is nan at batch 7")
        if self.how == "raised":
            raise KeyError("area")
        if self.how == "time":
            while True:
                hooks.tick()
        return Outcome(0.5)


@pytest.mark.parametrize(
    ("how", "outcome", "why"),
    [
        ("memory", "memory", "it ran out of memory"),
        ("device", "memory", "CUDA out of memory"),
        ("diverged", "diverged", "the loss is nan at batch 7"),
        ("raised", "raised", "KeyError: 'area'"),
        ("time", "time", "it took longer than 0.001 minutes"),
    ],
)
def test_what_goes_wrong_in_a_trial_is_noted_and_the_worker_goes_on(made: Made, how, outcome, why) -> None:
    study = made(objective=Breaks(how), trials=2, trial_minutes=0.001 if how == "time" else None)
    assert work(study) == 2
    for trial in study.trials:
        assert trial.user_attrs["outcome"] == outcome and why in trial.user_attrs["reason"]
        assert trial.state.name == ("FAIL" if how == "raised" else "PRUNED")


@tagged("test_blows")
@dataclass(frozen=True)
class Blows(Training):
    """Trains with a rate that no network stands."""

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        training = {"optimizer.lr": 1e6, "optimizer.weight_decay": 1e6}
        return super().run(Candidate(candidate.spec, training), hooks)


def test_a_training_that_diverges_is_noted(made: Made) -> None:
    study = made(objective=Blows(), trials=1)
    work(study, PLACE)
    assert outcomes(study) == [("PRUNED", "diverged")]
    why = study.trials[0].user_attrs["reason"]
    assert "is not finite" in why or "the loss is" in why or "the norm of the gradient is" in why


def test_a_budget_refuses_before_training(made: Made) -> None:
    most = 400
    study = made(objective=Training(), sampler="random", trials=2, max_parameters=most)
    work(study, PLACE)
    for trial in study.trials:
        refused = trial.user_attrs["parameters"] > most
        assert (trial.user_attrs["outcome"] == "refused") == refused
        if refused:
            assert trial.user_attrs["reason"].endswith("are more than the budget of 400")
            assert not (study.folder / f"trial_{trial.number:05d}").exists()
    settled = [t for t in study.trials if t.user_attrs["outcome"] != "refused"]
    assert len(settled) == 2 and len(study.trials) > 2
    with pytest.raises(VentralError, match="none of 30 networks drawn from 'small' meets the budget: the smallest has"):
        made("tight", max_parameters=10)
    with pytest.raises(VentralError, match="meets the budget"):
        made("cheap", max_mflop=1e-6)


def test_successive_halving_prunes_by_the_accuracy_after_each_epoch(made: Made) -> None:
    study = made(sampler="random", trials=12, halving=2)
    work(study)
    told = [t.user_attrs["outcome"] for t in study.trials]
    assert "pruned" in told and "trained" in told
    for trial in study.trials:
        assert set(trial.intermediate_values) == ({1} if trial.user_attrs["outcome"] == "pruned" else {1, 2})


# --- what a trial costs


def test_what_a_trial_asks_of_the_database_does_not_grow(made: Made) -> None:
    study = made(sampler="tpe", trials=30)
    asked: list[str] = []
    sqlalchemy.event.listen(study.storage.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    counts = []
    for _ in range(3):
        work(study, trials=5)
        asked.clear()
        work(study, trials=5)
        counts.append(len(asked) / 5)
    assert max(counts) <= 40 and counts[2] <= counts[0] + 1


def test_trials_are_read_once_where_that_is_asked_for(made: Made) -> None:
    one = made()
    other = open_study(one.name, one.storage.url.removeprefix("sqlite:///"))
    with one.storage.read_once():
        before = len(one.trials)
        other.optuna.enqueue_trial({"width": 4})
        assert len(one.trials) == before
        one.optuna.enqueue_trial({"width": 8})
        assert len(one.trials) == before + 1  # one's own is seen
        one.storage.read_again()
        assert len(one.trials) == before + 2
    assert [t.number for t in one.trials] == list(range(before + 2))


# --- workers that end


@tagged("test_stops")
@dataclass(frozen=True)
class Stops(Training):
    """Gets a signal in its fourth batch, once."""

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        if not hooks.folder.exists():
            done = 0

            def tick() -> None:
                nonlocal done
                done += 1
                if done == 4:
                    import signal

                    signal.raise_signal(signal.SIGINT)

            hooks = Hooks(**{**vars(hooks), "tick": tick})
        return super().run(candidate, hooks)


def test_ctrl_c_ends_a_worker_and_its_trial_goes_on(made: Made) -> None:
    study = made(objective=Stops(), trials=1)
    with pytest.raises(Interrupted):
        work(study, PLACE)
    assert [t.state.name for t in study.trials] == ["FAIL", "WAITING"]
    assert study.trials[0].user_attrs["outcome"] == "interrupted"
    folder = study.folder / "trial_00000"
    assert len(list(folder.glob("checkpoints/epoch_001_batch_000001"))) == 1
    work(study, PLACE)
    again = study.trials[1]
    assert again.state.name == "COMPLETE" and again.params == study.trials[0].params
    sessions = json.loads((folder / "run.json").read_text())["sessions"]
    assert [s["from_checkpoint"] for s in sessions] == ["epoch_000_batch_000000", "epoch_001_batch_000001"]
    whole = made("whole", objective=Training(), trials=1)
    work(whole, PLACE)
    assert again.intermediate_values == whole.trials[0].intermediate_values


def test_a_trial_in_which_workers_die_again_and_again_is_given_up(made: Made) -> None:
    import time

    import optuna

    study = made(trials=1, heartbeat=1, grace=2, deaths=2)
    for _ in range(3):
        study.optuna.ask()  # begins a trial, and shows no sign of life
        time.sleep(0.01)
        with sqlite3.connect(study.storage.engine.url.database) as database:
            database.execute("update trials set datetime_start = '2020-01-01 00:00:00'")
        optuna.storages.fail_stale_trials(study.optuna)
    assert [t.state.name for t in study.trials] == ["FAIL"] * 3
    assert work(study) == 0
    assert status(study).outcomes == {"died": 3}


@pytest.mark.parametrize("noted", ["trained", "pruned", "diverged"])
def test_a_worker_that_dies_after_its_last_note_loses_no_trial(made: Made, noted: str) -> None:
    """It noted what came of the trial, and did not live to tell its value."""
    import optuna

    study = made(trials=2, heartbeat=1, grace=2)
    trial = study.optuna.ask()
    trial.set_user_attr("outcome", noted)
    with sqlite3.connect(study.storage.engine.url.database) as database:
        database.execute("update trials set datetime_start = '2020-01-01 00:00:00' where state = 'RUNNING'")
    optuna.storages.fail_stale_trials(study.optuna)
    assert status(study).settled == 0 and status(study).outcomes == {"died": 1}
    assert work(study) == 2
    assert status(study).states == {"complete": 2, "fail": 1} and status(study).settled == 2
    assert {t.system_attrs.get("failed_trial") for t in study.trials} == {None, 0}


# --- bad input


def test_bad_input_is_one_sentence(made: Made, tmp_path: Path) -> None:
    study = made()
    database = str(tmp_path / "search.db")
    assert made().name == study.name  # the same again is no matter
    with pytest.raises(VentralError, match="there is a study 'study' already, with another trials; choose another"):
        made(trials=9)
    with pytest.raises(VentralError, match="there is a study 'study' already, with another space, 'small'"):
        create_study("study", database, load_space("cifar-small"), RECIPE)
    with pytest.raises(VentralError, match=r"unknown study 'studdy' in .*; did you mean 'study'"):
        open_study("studdy", database)
    with pytest.raises(VentralError, match=r"there is no database at '.*none.db'; make a study there"):
        open_study("study", str(tmp_path / "none.db"))
    with pytest.raises(VentralError, match="there is no folder"):
        create_study("study", str(tmp_path / "no" / "a.db"), small, RECIPE)
    with pytest.raises(VentralError, match=r"does not answer: .*refused"):
        open_study("study", "postgresql://someone:secret@127.0.0.1:9/none", patience=0.1)
    with pytest.raises(VentralError, match="is a kind of database that is not installed"):
        open_study("study", "mysqll://someone@127.0.0.1/none")
    with pytest.raises(VentralError, match="no address of a database"):
        open_study("study", "://nowhere")
    (tmp_path / "text.db").write_text("this is no database, but a text that is long enough")
    with pytest.raises(VentralError, match="is not a database"):
        open_study("study", str(tmp_path / "text.db"), patience=0.1)
    with pytest.raises(VentralError, match="no trial of the study 'study' is complete yet"):
        _ = study.best
    with pytest.raises(VentralError, match="has no trial 7; it has 1"):
        study.trial(7)
    with pytest.raises(VentralError, match="'halving' is 1; expected 0"):
        Search(halving=1)
    with pytest.raises(VentralError, match="expected at least two heartbeats"):
        Search(heartbeat=30, grace=50)


def test_a_locked_sqlite_file_is_one_sentence(made: Made, tmp_path: Path) -> None:
    study = made()
    holder = sqlite3.connect(tmp_path / "search.db", isolation_level=None)
    holder.execute("begin exclusive")
    try:
        opened = Study(study.name, connect(str(tmp_path / "search.db"), patience=0.2, busy=0.1))
        with pytest.raises(VentralError, match=r"search.db' is locked by another process; end that, or keep the study"):
            work(opened)
    finally:
        holder.execute("rollback")
        holder.close()
    assert Attempt  # imported for its names alone
