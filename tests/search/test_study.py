"""Studies and workers: what comes of trials, whatever happens in them; that a study is the same twice; bad input."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
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
from ventralstream.search.database import without_password
from ventralstream.search.objective import Hooks, Objective, Outcome, Training
from ventralstream.search.options import Search, Surrogate
from ventralstream.search.space import Candidate
from ventralstream.search.status import status
from ventralstream.search.storage import connect
from ventralstream.search.study import Study, create_study, open_study
from ventralstream.search.worker import work
from ventralstream.training import Recipe
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


SPACES = """
from small_space import small
from ventralstream.search import OneOf, search_space

few = search_space(width=OneOf((4, 8)), kernel=OneOf((1, 3)), cell=OneOf())(small.make)
wide = search_space(width=OneOf((12, 16)), kernel=OneOf((1, 3)), cell=OneOf())(small.make)
"""


@pytest.fixture
def spaces(tmp_path: Path) -> Path:
    """A file of two spaces of one function, which stands in another file."""
    path = tmp_path / "spaces.py"
    path.write_text(SPACES)
    return path


def test_a_grid_tries_every_point_once(made: Made, spaces: Path) -> None:
    space = load_space(f"{spaces}:few")
    study = made(space=space, sampler="grid")
    assert study.search.trials == 8
    work(study)
    assert len({tuple(sorted(t.params.items())) for t in study.trials}) == 8
    budget = made("budget", Costly(), space=space, sampler="grid", max_parameters=400)
    work(budget)
    told = [t.user_attrs["outcome"] for t in budget.trials]
    assert len(told) == 8 and 0 < told.count("refused") < 8 and set(told) == {"refused", "trained"}
    with pytest.raises(
        VentralError, match=r"a grid needs a few values of each parameter, 'recipe.optimizer.lr' has any"
    ):
        made("fine", sampler="grid")


@tagged("test_costly")
@dataclass(frozen=True)
class Costly(Objective):
    """Counts what a network costs, and does nothing."""

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        return Outcome(0.5)


def test_a_space_is_found_again_by_its_own_name(made: Made, spaces: Path, tmp_path: Path) -> None:
    study = made(space=load_space(f"{spaces}:wide"), sampler="random", trials=4)
    assert study.space_name == "wide"
    again = open_study(study.name, str(tmp_path / "search.db"))
    work(again)
    assert {t.params["width"] for t in again.trials} <= {12, 16}
    from ventralstream.search import search_space

    other = search_space(width=OneOf((64, 128)), kernel=OneOf((1, 3)), cell=OneOf())(small.make)
    with pytest.raises(VentralError, match="makes another space by the name 'small' than the study's"):
        _ = made("other", space=other).space

    def build(width):
        raise AssertionError

    nowhere = replace(search_space(width=OneOf((64, 128)))(build), source="")
    with pytest.raises(VentralError, match="the function of the space 'build' stands in no file"):
        made("notebook", space=nowhere)


def test_a_study_whose_file_was_changed_can_be_looked_at(made: Made, spaces: Path, tmp_path: Path) -> None:
    work(made(space=load_space(f"{spaces}:few"), sampler="random"), trials=2)
    spaces.write_text(SPACES + "# changed")
    again = open_study("study", str(tmp_path / "search.db"))
    assert again.best.params["width"] in (4, 8) and status(again).settled == 2
    with pytest.raises(VentralError, match="was changed since the study was made of its space 'few'"):
        work(again)


def test_the_folder_of_another_study_is_refused(made: Made, tmp_path: Path) -> None:
    study = made(objective=Stops(), trials=1)
    with pytest.raises(Interrupted):
        work(study, PLACE)
    second = str(tmp_path / "second.db")
    with pytest.raises(VentralError, match=r"'.*study' holds trials of another study; remove it, or give"):
        made(storage=second)
    assert made("another", storage=second).folder == tmp_path / "another"


def test_more_trials_may_be_asked_of_a_study(made: Made) -> None:
    work(made(trials=2))
    assert work(made(trials=5)) == 3
    assert made(trials=5).search.trials == 5


def test_what_no_trial_could_do_is_said_before_the_first(made: Made, tmp_path: Path) -> None:
    wrong = made("root", objective=Training())
    with pytest.raises(VentralError, match="the files of 'cifar10' were expected in"):
        wrong_recipe = Recipe(data="cifar10", epochs=1)
        study = create_study("cifar", str(tmp_path / "search.db"), small, wrong_recipe, Search(trials=3))
        work(study, PLACE.replace(root=str(tmp_path / "nowhere")))
    larger = "from small_space import small as build\nfrom ventralstream.search import OneOf, search_space\n"
    larger += "@search_space(width=OneOf((4, 8)))\ndef larger(width):\n"
    larger += "    return build.make(width, 3, False).replace(input_shape=(1, 24, 24))\n"
    (tmp_path / "larger.py").write_text(larger)
    other = made("larger", objective=Training(), space=load_space(f"{tmp_path / 'larger.py'}:larger"))
    with pytest.raises(VentralError, match="are for images of 1 x 24 x 24, those of 'scenes' are 1 x 16 x 16"):
        work(other, PLACE)
    surrogate = made("surrogate", objective=Surrogate(foretold_space="nothing"))
    with pytest.raises(VentralError, match="the table has 0 trained networks"):
        work(surrogate, PLACE)
    for untouched in (wrong, study, other, surrogate):
        assert all(t.state.name == "WAITING" for t in untouched.trials)
    raising = made("raising", objective=Breaks("raised"), trials=9)
    with pytest.raises(VentralError, match=r"the last 3 trials all ended with an error \(raised: KeyError: 'area'\)"):
        work(raising, PLACE)
    assert len(raising.trials) == 3


def test_a_complete_study_asks_nothing_of_a_worker(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    study = made(trials=1)
    assert work(study) == 1

    def prepare(*args: object) -> None:
        raise VentralError("no images here")

    monkeypatch.setattr(type(study.search.objective), "prepare", prepare)
    assert work(study) == 0
    with pytest.raises(VentralError, match="no images here"):
        work(made(trials=2))


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


@tagged("test_cut")
@dataclass(frozen=True)
class Cut(Objective):
    """Reports two epochs; the first trial is interrupted between them so many times."""

    times: int = 4
    costs: ClassVar[bool] = False
    known: ClassVar[bool] = False

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        hooks.folder.mkdir(parents=True, exist_ok=True)
        tries = len(list(hooks.folder.iterdir()))
        (hooks.folder / str(tries)).touch()
        value = 0.9 if hooks.number == 0 else 0.8 * int(candidate.key[:8], 16) / 2**32
        hooks.report(1, value)
        if hooks.number == 0 and tries < self.times:
            raise Interrupted
        hooks.report(2, value)
        return Outcome(value)


def work_through(study: Study) -> None:
    """Works on a study again and again until it has enough."""
    while True:
        try:
            work(study, PLACE)
            return
        except Interrupted:
            continue


def test_an_interrupted_trial_competes_once_and_what_is_drawn_after_it_is_the_same(made: Made) -> None:
    whole, cut = made("whole", Cut(0), trials=8, halving=2), made("cut", Cut(), trials=8, halving=2)
    for study in (whole, cut):
        work_through(study)
    told = [
        [(t.params, t.user_attrs["outcome"]) for t in study.trials if t.user_attrs["outcome"] != "interrupted"]
        for study in (whole, cut)
    ]
    assert len(cut.trials) == len(whole.trials) + 4
    assert told[0] == told[1] and [outcome for _, outcome in told[0]].count("trained") >= 2


def test_no_trial_is_pruned_after_its_own_last_epoch(made: Made, tmp_path: Path) -> None:
    text = "from small_space import small as build\nfrom ventralstream.search import OneOf, search_space\n"
    text += "@search_space(width=OneOf((4, 8, 12, 16)), recipe={'epochs': OneOf((1, 3))})\n"
    text += "def brief(width):\n    return build.make(width, 3, False)\n"
    (tmp_path / "brief.py").write_text(text)
    study = made(objective=Epochs(), space=load_space(f"{tmp_path / 'brief.py'}:brief"), trials=12, halving=2)
    work(study)
    told = {(t.params["recipe.epochs"], t.user_attrs["outcome"]) for t in study.trials}
    assert (3, "pruned") in told and (1, "trained") in told and (1, "pruned") not in told


@tagged("test_epochs")
@dataclass(frozen=True)
class Epochs(Objective):
    """Reports as many epochs as the candidate's recipe has, each trial worse than the one before."""

    costs: ClassVar[bool] = False
    known: ClassVar[bool] = False

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        for epoch in range(1, candidate.recipe(hooks.recipe).epochs + 1):
            hooks.report(epoch, 0.9 - 0.01 * hooks.number)
        return Outcome(0.9)


def test_the_pace_is_that_of_trials_that_count(made: Made) -> None:
    study = made(objective=Costly(), sampler="random", trials=4, max_parameters=400)
    work(study)
    with sqlite3.connect(study.storage.engine.url.database) as database:
        begin = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=4)
        database.execute("update trials set datetime_complete = ?", (str(begin),))
    assert "refused" in status(study).outcomes
    assert status(study).per_minute == pytest.approx(1.0, rel=0.1)


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
                    signal.raise_signal(signal.SIGINT)

            hooks = Hooks(**{**vars(hooks), "tick": tick})
        return super().run(candidate, hooks)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_before_a_training_begins_ends_it_at_once_with_the_signals_code(made: Made, number: str) -> None:
    study = made(objective=Hears(number), trials=1)
    with pytest.raises(Interrupted) as caught:
        work(study, PLACE)
    assert caught.value.code == {"SIGTERM": 143, "SIGINT": 130}[number]
    assert not study.trials[0].intermediate_values and [t.state.name for t in study.trials] == ["FAIL", "WAITING"]


@tagged("test_hears")
@dataclass(frozen=True)
class Hears(Training):
    """Gets a signal before the training begins."""

    number: str = "SIGTERM"

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        signal.raise_signal(signal.Signals[self.number])
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
    assert status(study).outcomes == {"died": 3} and status(study).settled == 1


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


def test_no_password_is_shown() -> None:
    for text in ("postgresql://me:se:cr/et@host/db", "--storage=postgresql+psycopg://me:se:cr/et@host:5/db"):
        assert without_password(text) == text.replace("se:cr/et", "***")
    for text in ("search.db", "sqlite:////tmp/search.db", "postgresql://me@host/db", "me@host", "a:b@c"):
        assert without_password(text) == text


def test_bad_input_is_one_sentence(made: Made, tmp_path: Path) -> None:
    study = made()
    database = str(tmp_path / "search.db")
    assert made().name == study.name  # the same again is no matter
    with pytest.raises(VentralError, match="there is a study 'study' already, with 3 trials; choose another"):
        made(trials=2)
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
