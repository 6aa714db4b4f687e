"""Trials that were cut short: each is enqueued again with all that is known of it, and goes on where it was."""

from __future__ import annotations

from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState

from ventralstream.search.outcomes import DIED, INTERRUPTED, OUTCOME, REASON, outcome_of

FIRST = "failed_trial"  # the number of the trial as it was first begun; as Optuna's own callback names it
HISTORY = "retry_history"  # the numbers under which it was tried before
DEATHS, EPOCHS = "deaths", "epochs_at_death"
_OF_A_TRY = (OUTCOME, REASON, "worker", "same_as", "accuracy_by_step")  # what is not handed on


def first_number(trial: FrozenTrial) -> int:
    """The number under which a trial was first begun; its folder bears it."""
    return int(trial.system_attrs.get(FIRST, trial.number))


def is_again(trial: FrozenTrial) -> bool:
    """Whether it goes on with a trial that was cut short."""
    return HISTORY in trial.system_attrs


def cut_short(trial: FrozenTrial) -> bool:
    """Whether a trial failed because its worker was interrupted or died; all others say what came of them."""
    return outcome_of(trial) in (INTERRUPTED, DIED)


def given_up(trial: FrozenTrial, deaths: int) -> bool:
    """Whether a trial was cut short by one death too many."""
    return outcome_of(trial) == DIED and _deaths(trial) > deaths


def requeue(study: optuna.Study, trial: FrozenTrial, deaths: int) -> None:
    """Enqueues a trial again that was cut short.

    Args:
        study: Its study.
        trial: The trial, which has failed.
        deaths: Workers that may die in it, without an epoch between.
    """
    if not cut_short(trial) or given_up(trial, deaths):
        return
    user = {key: value for key, value in trial.user_attrs.items() if key not in _OF_A_TRY}
    if outcome_of(trial) == DIED:
        user |= {DEATHS: _deaths(trial), EPOCHS: len(trial.intermediate_values)}
    history = [*trial.system_attrs.get(HISTORY, []), trial.number]
    system = {**trial.system_attrs, FIRST: first_number(trial), HISTORY: history}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=user,
            system_attrs=system,
            intermediate_values=trial.intermediate_values,
        )
    )


def handed_on(trials: list[FrozenTrial]) -> set[int]:
    """The numbers of trials that were cut short and enqueued again, as other trials."""
    return {number for trial in trials for number in trial.system_attrs.get(HISTORY, [])}


def forgotten(trials: list[FrozenTrial], grace: float, deaths: int) -> list[FrozenTrial]:
    """Trials that were cut short so long ago, and that whoever should have enqueued them again did not live to."""
    again = handed_on(trials)
    before = datetime.now() - timedelta(seconds=grace)
    return [
        trial
        for trial in trials
        if cut_short(trial)
        and not given_up(trial, deaths)
        and trial.number not in again
        and trial.datetime_complete is not None
        and trial.datetime_complete < before
    ]


def _deaths(trial: FrozenTrial) -> int:
    """The deaths in a trial since its last epoch, with the one now."""
    further = len(trial.intermediate_values) > trial.user_attrs.get(EPOCHS, 0)
    return 1 if further else int(trial.user_attrs.get(DEATHS, 0)) + 1
