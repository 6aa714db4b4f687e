"""Trials whose values are given, before any is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from ventralstream.search.rows import write_trials
from ventralstream.search.storage import Storage

_FIXED = "fixed_params"  # the attribute in which Optuna keeps the values of an enqueued trial


def enqueue(
    study: optuna.Study,
    storage: Storage,
    known: Mapping[str, Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
) -> None:
    """Enqueues known points by name, then others, in a study of which nobody else knows yet.

    Those that are enqueued already stay the only ones. Optuna's `enqueue_trial` reads all trials for each.
    """
    there = {_text(trial.system_attrs.get(_FIXED)) for trial in study.get_trials(deepcopy=False)}
    trials = []
    for name, values in [*known.items(), *((None, point) for point in points)]:
        if (text := _text(values)) not in there:
            there.add(text)
            notes = {} if name is None else {"known": name}
            fixed = {_FIXED: dict(values)}
            trials.append(optuna.create_trial(state=TrialState.WAITING, user_attrs=notes, system_attrs=fixed))
    with storage.engine.begin() as connection:
        write_trials(connection, study._study_id, trials)


def _text(values: Mapping[str, Any] | None) -> str:
    return json.dumps(values, sort_keys=True)
