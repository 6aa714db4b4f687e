"""What may come of a trial, in a word; its worker notes it among the trial's attributes, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line names outcomes without Optuna
    from optuna.trial import FrozenTrial, TrialState

OUTCOME, REASON = "outcome", "reason"  # the attributes' names

TRAINED, KNOWN, PRUNED = "trained", "known", "pruned"
DIVERGED, MEMORY, TIME, RAISED = "diverged", "memory", "time", "raised"
SETTLED = (TRAINED, KNOWN, PRUNED, DIVERGED, MEMORY, TIME, RAISED)  # these count as trials of the study
REFUSED, TWIN, INTERRUPTED = "refused", "twin", "interrupted"
DIED = "died"  # its worker did not live to note anything, or to tell the database what it had noted
_FAILED = (RAISED, TWIN, INTERRUPTED)  # what a trial that failed in its worker's eyes may have come to


def said_of(state: TrialState, noted: str | None) -> str:
    """What came of a trial that has ended, by its state and by what its worker noted."""
    if state.name == "FAIL":
        return noted if noted in _FAILED else DIED
    return noted or state.name.lower()


def outcome_of(trial: FrozenTrial) -> str:
    """What came of a trial; "running" or "waiting" if it has not ended."""
    if not trial.state.is_finished():
        return trial.state.name.lower()
    return said_of(trial.state, trial.user_attrs.get(OUTCOME))
