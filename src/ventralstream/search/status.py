"""How a study stands, from a few queries: loading thousands of trials would take tens of seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import func, orm

from ventralstream.search.outcomes import DIED, INTERRUPTED, OUTCOME, REFUSED, TWIN, said_of
from ventralstream.search.requeue import given_up
from ventralstream.search.study import Study

_RECENT = 50  # finished trials, of which the pace is taken


@dataclass(frozen=True)
class Status:
    """How a study stands.

    Attributes:
        states: Trials by Optuna's state, in small letters.
        outcomes: Those that have ended, by what came of them.
        wanted: The trials that shall come to an end.
        settled: Those that have.
        best: The number and value of the best complete trial; None if there is none.
        per_minute: The last trials' pace, of all workers together; 0 if it is not known.
        last: When a trial was finished last; None if none was.
        workers: Who does the running trials: worker by the trial's number.
    """

    states: dict[str, int]
    outcomes: dict[str, int]
    wanted: int
    settled: int
    best: tuple[int, float] | None
    per_minute: float
    last: datetime | None
    workers: dict[int, str] = field(default_factory=dict)

    @property
    def minutes_left(self) -> float | None:
        """At this pace; None if it is not known."""
        left = max(0, self.wanted - self.settled)
        return left / self.per_minute if self.per_minute else None


def status(study: Study) -> Status:
    """Asks the database how a study stands."""
    return study.storage.patiently(lambda: _status(study))


def _status(study: Study) -> Status:
    trial, attribute, value = models.TrialModel, models.TrialUserAttributeModel, models.TrialValueModel
    mine = trial.study_id == study.optuna._study_id

    def outcome_of(key: str) -> sqlalchemy.ColumnElement[bool]:
        return sqlalchemy.and_(attribute.trial_id == trial.trial_id, attribute.key == key)

    with orm.Session(study.storage.engine) as session:
        states = session.execute(sqlalchemy.select(trial.state, func.count()).where(mine).group_by(trial.state)).all()
        outcomes = session.execute(
            sqlalchemy.select(trial.state, attribute.value_json, func.count())
            .outerjoin(attribute, outcome_of(OUTCOME))
            .where(mine, trial.state.in_([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]))
            .group_by(trial.state, attribute.value_json)
        ).all()
        best = session.execute(
            sqlalchemy.select(trial.number, value.value)
            .join(value, value.trial_id == trial.trial_id)
            .where(mine, trial.state == TrialState.COMPLETE)
            .order_by(value.value.desc(), trial.number)
            .limit(1)
        ).first()
        ended = (
            session.execute(
                sqlalchemy.select(trial._datetime_complete_utc)
                .outerjoin(attribute, outcome_of(OUTCOME))
                .where(mine, trial.state.in_([TrialState.COMPLETE, TrialState.PRUNED]))
                .where(sqlalchemy.func.coalesce(attribute.value_json, "") != json.dumps(REFUSED))
                .order_by(trial._datetime_complete_utc.desc())
                .limit(_RECENT)
            )
            .scalars()
            .all()
        )
        workers = session.execute(
            sqlalchemy.select(trial.number, attribute.value_json)
            .outerjoin(attribute, outcome_of("worker"))
            .where(mine, trial.state == TrialState.RUNNING)
            .order_by(trial.number)
        ).all()
    by_outcome: dict[str, int] = {}
    for state, said, count in outcomes:
        name = said_of(state, None if said is None else str(said).strip('"'))
        by_outcome[name] = by_outcome.get(name, 0) + count
    settled = sum(n for name, n in by_outcome.items() if name not in (DIED, INTERRUPTED, REFUSED, TWIN))
    if by_outcome.get(DIED):
        failed = study.optuna.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        settled += sum(given_up(t, study.search.deaths) for t in failed)
    times = [time for time in ended if time is not None]
    minutes = (datetime.now(UTC).replace(tzinfo=None) - times[-1]).total_seconds() / 60 if len(times) > 1 else 0
    return Status(
        {state.name.lower(): count for state, count in states},
        by_outcome,
        study.search.trials,
        settled,
        None if best is None else (int(best[0]), float(best[1])),
        len(times) / minutes if minutes > 0 else 0.0,
        times[0].replace(tzinfo=UTC) if times else None,
        {int(number): str(said or "").strip('"') for number, said in workers},
    )
