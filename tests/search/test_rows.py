"""Trials are read, and written, as Optuna reads and writes them."""

from datetime import datetime

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from ventralstream.search.rows import read_trials, write_trials

SAMPLED = {
    "a": CategoricalDistribution([False, True]),
    "b": IntDistribution(1, 7),
    "c": FloatDistribution(0.1, 9, log=True),
}


def some_trial(study: optuna.Study) -> optuna.Trial:
    trial = study.ask(SAMPLED)
    trial.set_user_attr("spec", {"a": [1, "x"]})
    study._storage.set_trial_system_attr(trial._trial_id, "handed", "on")
    return trial


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A storage with trials of all kinds, and the study's number in it."""
    storage = RDBStorage(f"sqlite:///{tmp_path_factory.mktemp('rows') / 'study.db'}")
    other = optuna.create_study(storage=storage, study_name="other")
    other.tell(some_trial(other), 2.0)
    study = optuna.create_study(storage=storage, study_name="study", direction="maximize")
    for end in (0.5, float("inf"), TrialState.PRUNED, TrialState.FAIL, None):
        trial = some_trial(study)
        for step, value in ((2, 0.25), (1, float("nan")), (3, float("-inf"))):
            trial.report(value, step)
        if end is not None:
            study.tell(trial, **({"state": end} if isinstance(end, TrialState) else {"values": end}))
    study.ask()  # of which nothing is known yet
    study.enqueue_trial({"b": 3}, {"known": "rgc"})
    wider = SAMPLED | {"b": IntDistribution(1, 9)}
    study.add_trial(create_trial(params={"a": True, "b": 9, "c": 1.5}, distributions=wider, value=0.1))
    return storage, study._study_id


def by_optuna(storage, study, *filters):
    return RDBStorage._get_trials(storage, study, *filters)


def read(storage, study, *filters):
    with storage.engine.connect() as connection:
        return read_trials(connection, study, *filters)


def same(ours, theirs):
    """NaN is not equal to itself, but is shown alike."""
    assert [repr(t) for t in ours] == [repr(t) for t in theirs]
    assert [list(t.params) for t in ours] == [list(t.params) for t in theirs]
    assert [list(t.intermediate_values) for t in ours] == [list(t.intermediate_values) for t in theirs]


def test_all_kinds_of_trials(kept):
    trials = read(*kept)
    assert len({t.state for t in trials}) == 5
    same(trials, by_optuna(*kept, None, set(), -1))


def test_only_some(kept):
    ids = [t._trial_id for t in read(*kept)]
    states = (TrialState.COMPLETE, TrialState.WAITING)
    for included, above in ((set(), ids[2]), ({ids[0], ids[1], ids[4]}, ids[2]), ({ids[4]}, -1), (set(ids), ids[-1])):
        same(read(*kept, None, included, above), by_optuna(*kept, None, included, above))
        same(read(*kept, states, included, above), by_optuna(*kept, states, included, above))


def test_more_are_named_than_a_query_takes(kept, monkeypatch):
    monkeypatch.setattr("ventralstream.search.rows.MOST_NAMED", 1)
    ids = [t._trial_id for t in read(*kept)]
    same(read(*kept, None, set(ids[:3]), ids[5]), by_optuna(*kept, None, set(ids[:3]), ids[5]))


def test_no_such_study(kept):
    with pytest.raises(KeyError):
        read(kept[0], 99)


def test_written_trials_are_read_by_optuna(tmp_path):
    storage = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage, study_name="study", direction="maximize")
    study.tell(some_trial(study), 0.5)
    made = create_trial(
        params={"a": True, "b": 2, "c": 1.5},
        distributions=SAMPLED,
        value=0.75,
        user_attrs={"spec": "x"},
        system_attrs={"y": 1},
        intermediate_values={1: 0.5, 2: 0.75},
    )
    made._datetime_start = datetime(2026, 7, 1, 12)
    failed = create_trial(state=TrialState.FAIL)
    with storage.engine.begin() as connection:
        write_trials(connection, study._study_id, [made, failed])
    _, found, other = by_optuna(storage, study._study_id, None, set(), -1)
    assert found.number == 1 and other.number == 2 and other.state == TrialState.FAIL
    made.number, made._trial_id = 1, found._trial_id
    assert found == made
    assert study.ask().number == 3


def test_a_trial_that_ends_while_it_is_read(tmp_path):
    """Its state is never newer than its value: what is read as complete stays as it was read for ever."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    reader, writer = RDBStorage(url), RDBStorage(url)
    study = optuna.create_study(storage=reader, study_name="study")
    ends, one = [], some_trial(study)

    def end(connection, cursor, statement, *others):
        if "trial_params" in statement and not ends:
            ends.append(True)
            writer.set_trial_state_values(one._trial_id, TrialState.COMPLETE, [0.5])

    sqlalchemy.event.listen(reader.engine, "before_cursor_execute", end)
    (trial,) = read(reader, study._study_id)
    assert ends and (trial.state != TrialState.COMPLETE or trial.values == [0.5]) and len(trial.params) == 3
    (trial,) = read(reader, study._study_id, (TrialState.COMPLETE,))
    assert trial.values == [0.5]
