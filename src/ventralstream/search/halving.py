"""Successive halving, by what each trial came to at its last try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from ventralstream.search.requeue import handed_on


def pruner(halving: int) -> BasePruner:
    """Prunes all but the best one of so many after each rung; none if it is 0."""
    return _Halving(min_resource=1, reduction_factor=halving) if halving else NopPruner()


class _Halving(SuccessiveHalvingPruner):
    """A trial that was cut short competes once, not once for each of its tries."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return super().prune(_LastTries(study), trial)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _LastTries:
    study: optuna.Study

    def get_trials(self, **options: Any) -> list[FrozenTrial]:
        trials = self.study.get_trials(**options)
        before = handed_on(trials)
        return [trial for trial in trials if trial.number not in before]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)
