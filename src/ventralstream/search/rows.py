"""Trials read from the database in a few queries, or written; Optuna makes an object of each value, 20 times slower.

What is read is what Optuna reads; `tests/search/test_rows.py` compares them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages._rdb.models import (
    StudyModel,
    TrialIntermediateValueModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite

MOST_NAMED = 500  # trials that one query names by their numbers; beyond, all are read


def read_trials(
    connection: sa.Connection,
    study: int,
    states: Collection[TrialState] | None = None,
    included: Collection[int] = (),
    above: int = -1,
) -> list[FrozenTrial]:
    """Trials of a study, in the order in which they were made.

    Args:
        connection: To the database.
        study: The study's number there.
        states: Only those in these states.
        included: With `above`: only those whose id is among these, or above that.
        above: See `included`; all ids are if it is -1.

    Raises:
        KeyError: if there is no such study.
    """
    wanted = TrialModel.study_id == study
    if above > -1:
        named = [i for i in included if i <= above]
        later = TrialModel.trial_id > above
        wanted &= sa.or_(TrialModel.trial_id.in_(named), later) if len(named) <= MOST_NAMED else sa.true()
    found = _read(connection, wanted, states)
    if (
        not found
        and above < 0
        and connection.execute(sa.select(StudyModel).where(StudyModel.study_id == study)).first() is None
    ):
        raise KeyError(f"there is no study {study}")
    return [t for t in found if above < 0 or t._trial_id > above or t._trial_id in included]


def read_trial(connection: sa.Connection, trial: int) -> FrozenTrial:
    """One trial, by its id; KeyError if there is none."""
    found = _read(connection, TrialModel.trial_id == trial, None)
    if not found:
        raise KeyError(f"there is no trial {trial}")
    return found[0]


def state_of(connection: sa.Connection, trial: int) -> TrialState | None:
    """The state of a trial, by its id; None if there is no such trial."""
    query = sa.select(TrialModel.state).where(TrialModel.trial_id == trial)
    state: TrialState | None = connection.execute(query).scalar_one_or_none()
    return state


def write_parts(
    connection: sa.Connection, model: Any, trial: int, parts: Mapping[str | int, Mapping[str, Any]]
) -> None:
    """Writes parts of one trial, of one kind, over what is there.

    Args:
        connection: To the database, in a transaction.
        model: The kind: Optuna's model of parameters, of intermediate values, or of attributes.
        trial: The trial's id.
        parts: What is stored, by the part's name.
    """
    name = _NAMES[model]
    rows = [{"trial_id": trial, name: of, **stored} for of, stored in parts.items()]
    connection.execute(_over(model, connection.dialect.name), rows)


@lru_cache
def _over(model: Any, dialect: str) -> Any:
    name = _NAMES[model]
    new = (sqlite if dialect == "sqlite" else postgresql).insert(model)
    own = ["trial_id", name]
    stored = {c.name: new.excluded[c.name] for c in model.__table__.columns if not c.primary_key and c.name not in own}
    return new.on_conflict_do_update(index_elements=own, set_=stored)


def write_trials(connection: sa.Connection, study: int, trials: Sequence[FrozenTrial]) -> None:
    """Adds many trials at once; nobody else may write to the study meanwhile.

    Args:
        connection: To the database, in a transaction.
        study: The study's number there.
        trials: The trials, which get new numbers and ids. Their values are finite.
    """
    there = sa.select(sa.func.count()).where(TrialModel.study_id == study)
    first = connection.execute(there).scalar_one()
    id_of = (connection.execute(sa.select(sa.func.max(TrialModel.trial_id))).scalar_one() or 0) + 1
    rows: dict[Any, list[dict[str, Any]]] = {model: [] for model in (TrialModel, *_PARTS)}
    for i, t in enumerate(trials):
        own = {"trial_id": id_of + i}
        times = {"datetime_start": _utc(t.datetime_start), "datetime_complete": _utc(t.datetime_complete)}
        rows[TrialModel].append({**own, "number": first + i, "study_id": study, "state": t.state, **times})
        for objective, value in enumerate(t.values or []):
            rows[TrialValueModel].append({**own, "objective": objective, "value": value, "value_type": "FINITE"})
        for name, value in t.params.items():
            d = t.distributions[name]
            stored = {"param_value": d.to_internal_repr(value), "distribution_json": distribution_to_json(d)}
            rows[TrialParamModel].append({**own, "param_name": name, **stored})
        for step, value in t.intermediate_values.items():
            stored = {"intermediate_value": value, "intermediate_value_type": "FINITE"}
            rows[TrialIntermediateValueModel].append({**own, "step": step, **stored})
        for model, attributes in ((TrialUserAttributeModel, t.user_attrs), (TrialSystemAttributeModel, t.system_attrs)):
            rows[model] += [{**own, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    for model, made in rows.items():
        if made:
            connection.execute(sa.insert(model.__table__), made)
    if connection.dialect.name == "postgresql":  # it counts by itself, and must not begin where we did
        connection.execute(sa.text("select setval('trials_trial_id_seq', (select max(trial_id) from trials))"))


_PARTS = (
    TrialValueModel,
    TrialParamModel,
    TrialIntermediateValueModel,
    TrialUserAttributeModel,
    TrialSystemAttributeModel,
)

_NAMES: dict[Any, str] = {
    TrialParamModel: "param_name",
    TrialIntermediateValueModel: "step",
    TrialUserAttributeModel: "key",
    TrialSystemAttributeModel: "key",
}


def _read(
    connection: sa.Connection, wanted: sa.ColumnElement[bool], states: Collection[TrialState] | None
) -> list[FrozenTrial]:
    model = TrialModel
    columns = (model.trial_id, model.number, model.state, model._datetime_start_utc, model._datetime_complete_utc)
    query = sa.select(*columns).where(wanted).order_by(model.trial_id)
    # First the states, then all else: a trial that ends meanwhile still runs here, and is never one without a value.
    trials = connection.execute(query if states is None else query.where(model.state.in_(states))).all()
    if not trials:
        return []
    values: dict[int, dict[int, float]] = {}
    for trial, objective, value, kind in _of(
        connection, wanted, TrialValueModel, "objective", "value", "value_type", order="objective"
    ):
        values.setdefault(trial, {})[objective] = TrialValueModel.stored_repr_to_value(value, kind)
    params: dict[int, dict[str, Any]] = {}
    distributions: dict[int, dict[str, BaseDistribution]] = {}
    for trial, name, value, text in _of(
        connection, wanted, TrialParamModel, "param_name", "param_value", "distribution_json", order="param_id"
    ):
        distribution = _distribution(text)
        params.setdefault(trial, {})[name] = distribution.to_external_repr(value)
        distributions.setdefault(trial, {})[name] = distribution
    curves: dict[int, dict[int, float]] = {}
    kind_of = TrialIntermediateValueModel.stored_repr_to_intermediate_value
    for trial, step, value, kind in _of(
        connection,
        wanted,
        TrialIntermediateValueModel,
        *("step", "intermediate_value", "intermediate_value_type"),
        order="step",
    ):
        curves.setdefault(trial, {})[step] = kind_of(value, kind)
    user = _attributes(_of(connection, wanted, TrialUserAttributeModel, "key", "value_json"))
    system = _attributes(_of(connection, wanted, TrialSystemAttributeModel, "key", "value_json"))
    return [
        FrozenTrial(
            number,
            state,
            None,
            _local(start),
            _local(end),
            params.get(trial, {}),
            distributions.get(trial, {}),
            user.get(trial, {}),
            system.get(trial, {}),
            curves.get(trial, {}),
            trial,
            values=list(values[trial].values()) if trial in values else None,
        )
        for trial, number, state, start, end in trials
    ]


def _of(
    connection: sa.Connection, wanted: sa.ColumnElement[bool], table: Any, *columns: str, order: str | None = None
) -> Iterable[Any]:
    """Some columns of a table, each row after the id of its trial."""
    query = sa.select(table.trial_id, *(getattr(table, name) for name in columns)).join(
        TrialModel, TrialModel.trial_id == table.trial_id
    )
    query = query.where(wanted)
    rows: Iterable[Any] = connection.execute(query if order is None else query.order_by(getattr(table, order)))
    return rows


def _attributes(rows: Iterable[Any]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for trial, key, text in rows:
        found.setdefault(trial, {})[key] = json.loads(text)
    return found


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(moment: datetime | None) -> datetime | None:
    """The time here, without saying so, as Optuna's trials have it, of one that is stored in UTC."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _utc(moment: datetime | None) -> datetime | None:
    """The inverse of `_local`."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
