"""One trial, as a worker does it: draw, count, train; and whatever goes wrong in it is noted with its reason."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ventralstream.cost import forward_cost
from ventralstream.errors import Interrupted, VentralError, about_memory, reason
from ventralstream.files import claimed
from ventralstream.interrupt import Interruption
from ventralstream.search.budget import over_budget
from ventralstream.search.database import Unanswered
from ventralstream.search.objective import Hooks, Outcome
from ventralstream.search.outcomes import (
    DIVERGED,
    INTERRUPTED,
    KNOWN,
    MEMORY,
    OUTCOME,
    PRUNED,
    RAISED,
    REASON,
    REFUSED,
    TIME,
    TRAINED,
    TWIN,
)
from ventralstream.search.parameters import Value
from ventralstream.search.requeue import HISTORY, first_number
from ventralstream.search.sampling import chosen
from ventralstream.search.study import Study
from ventralstream.training.finite import NotFinite
from ventralstream.training.recipe import Place


class TrialFailed(Exception):
    """A trial that has failed, and says so; the worker goes on."""


class _TimeOver(Exception):
    pass


class _Refused(Exception):
    pass


class _Lost(Exception):
    pass


def worker_name() -> str:
    """What this process is called in a study: its machine and number."""
    return f"{platform.node()}:{os.getpid()}"


@dataclass
class Attempt:
    """What a worker does in a trial; Optuna calls it.

    Attributes:
        study: The study.
        place: Where it trains.
        stop: Whether a signal asks for the end.
        number, trial_id: Of the trial that was last begun; None before the first.
        lost: Whether that trial has been taken for dead, and was given to another worker.
        outcome, said: What came of it, in a word and in a line.
        folder: Its folder; None if it needed none.
    """

    study: Study
    place: Place
    stop: Interruption
    number: int | None = None
    trial_id: int | None = None
    lost: bool = False
    outcome: str = ""
    said: str = ""
    folder: Path | None = None

    def __call__(self, trial: optuna.Trial) -> float:
        """Does a trial; gives its value.

        Raises:
            TrialPruned: if it was pruned, or it is the network's fault that it came to nothing.
            TrialFailed: if it raised something else.
            Interrupted: after a signal.
        """
        self.number, self.trial_id, self.folder = trial.number, trial._trial_id, None
        self.lost, self.outcome, self.said = False, "", ""
        known = trial._cached_frozen_trial  # as it was when it began, with what is known of an earlier try
        began = time.monotonic() - float(known.user_attrs.get("seconds", 0.0))

        def seconds() -> float:
            return time.monotonic() - began

        try:
            with self.study.storage.together():
                trial.set_user_attr("worker", worker_name())
                values = chosen(trial, self.study.space_of)
            return self._tried(trial, known, values, seconds)
        except (UpdateFinishedTrialError, _Lost):
            self.lost = True
            raise TrialFailed from None
        except TrialFailed:
            raise
        except TrialPruned:
            self._note(trial, PRUNED, "another trial was better after as many epochs", seconds())
            raise
        except _TimeOver as error:
            self._note(trial, TIME, str(error), seconds())
            raise TrialPruned from None
        except NotFinite as error:
            self._note(trial, DIVERGED, reason(error), seconds())
            raise TrialPruned from None
        except KeyboardInterrupt as error:
            self._note(trial, INTERRUPTED, f"its worker {worker_name()} was interrupted", seconds())
            raise error if isinstance(error, Interrupted) else Interrupted() from None
        except _Refused as error:
            self._note(trial, REFUSED, str(error), seconds())
            raise TrialPruned from None
        except (optuna.exceptions.OptunaError, Unanswered):
            raise
        except Exception as error:
            if about_memory(error):
                self._note(trial, MEMORY, f"it ran out of memory: {reason(error)}", seconds())
                raise TrialPruned from None
            said = reason(error) if isinstance(error, VentralError) else f"{type(error).__name__}: {reason(error)}"
            self._note(trial, RAISED, said, seconds())
            raise TrialFailed from None

    def _tried(
        self, trial: optuna.Trial, known: FrozenTrial, values: dict[str, Value], seconds: Callable[[], float]
    ) -> float:
        study, search = self.study, self.study.search
        if (twin := self._twin(known)) is not None:
            self._note(trial, TWIN, f"it was enqueued twice; see trial {twin.number}", seconds())
            raise TrialFailed
        candidate = study.space.candidate(values)
        last = candidate.recipe(study.recipe).epochs  # refuses what does not fit before anything else
        parameters, flops = forward_cost(candidate.spec) if search.objective.costs else (0, 0)
        key = candidate.key
        with study.storage.together():
            for name, value in {
                "spec": candidate.spec.to_text(),
                "spec_hash": candidate.spec_hash,
                "key": key,
                "parameters": parameters,
                "flops": flops,
            }.items():
                trial.set_user_attr(name, value)
        if why := over_budget(search, parameters, flops):
            raise _Refused(why)
        if (same := self._same(key)) is not None:
            return self._handed(trial, same, seconds())
        study.storage.read_again()  # the trials that end while this one goes on count from now on
        deadline = math.inf if search.trial_minutes is None else search.trial_minutes * 60
        told = set(known.intermediate_values)  # by whoever began it

        def report(epoch: int, accuracy: float) -> None:
            tick()
            if epoch in told:
                return
            told.add(epoch)
            trial.report(accuracy, epoch)
            if search.halving and epoch < last and trial.should_prune():
                raise TrialPruned

        looked = time.monotonic()

        def tick() -> None:
            nonlocal looked
            if seconds() > deadline:
                raise _TimeOver(f"it took longer than {search.trial_minutes:g} minutes")
            if time.monotonic() - looked > search.heartbeat:
                looked = time.monotonic()
                if not study.storage.is_running(trial._trial_id):
                    raise _Lost

        number = first_number(known)
        self.folder = study.folder / f"trial_{number:05d}"
        hooks = Hooks(self.folder, study.recipe, self.place, report, tick, self.stop, parameters, flops, number)
        with self._alone(self.folder, tick):
            came: Outcome = search.objective.run(candidate, hooks)
        self._note(trial, TRAINED, "", seconds(), accuracy_by_step=came.accuracy_by_step)
        self.said = f"{came.value:.1%} ({seconds():.0f} s)"
        return came.value

    def _same(self, key: str) -> FrozenTrial | None:
        """A trial that came to a value with the same candidate; `key` is its."""
        if not self.study.search.objective.known:
            return None
        for trial in self.study.trials:
            if trial.state == TrialState.COMPLETE and trial.user_attrs.get("key") == key:
                return trial
        return None

    def _twin(self, known: FrozenTrial) -> FrozenTrial | None:
        """An earlier trial that goes on with the same one: two workers may have enqueued it again at the same time."""
        mine = _line_of(known)
        for trial in self.study.trials if len(mine) > 1 else ():
            theirs = _line_of(trial)
            if theirs[0] == mine[0]:
                parts = next((pair for pair in zip(theirs, mine, strict=False) if pair[0] != pair[1]), (0, 0))
                if parts[0] < parts[1]:  # where they part, it was the first to be enqueued
                    return trial
        return None

    @contextmanager
    def _alone(self, folder: Path, tick: Callable[[], None]) -> Iterator[None]:
        """Claims a trial's folder; whoever was wrongly taken for dead is there until it has heard of it."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(folder.name + ".lock")
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(claimed(lock, lambda other: f"{other} is at work in '{folder}'"))
                    break
                except VentralError:
                    tick()
                    if self.stop.wanted:
                        raise self.stop.interrupted() from None
                    time.sleep(0.2)
            yield

    def _handed(self, trial: optuna.Trial, same: FrozenTrial, seconds: float) -> float:
        assert same.value is not None
        for epoch, accuracy in same.intermediate_values.items():
            trial.report(accuracy, epoch)
        first = same.user_attrs.get("same_as", same.number)
        by_step = same.user_attrs.get("accuracy_by_step", [])
        self._note(trial, KNOWN, "", seconds, accuracy_by_step=by_step, same_as=first)
        self.said = f"{same.value:.1%}, as trial {first}"
        return same.value

    def _note(self, trial: optuna.Trial, outcome: str, why: str, seconds: float, **more: Any) -> None:
        self.outcome, self.said = outcome, f"{outcome}: {why}"
        try:
            with self.study.storage.together():
                for key, value in {OUTCOME: outcome, REASON: why, "seconds": round(seconds, 3), **more}.items():
                    if key != REASON or value:
                        trial.set_user_attr(key, value)
        except UpdateFinishedTrialError:
            self.lost = True


def _line_of(trial: FrozenTrial) -> list[int]:
    """The numbers under which a trial was tried, with its own."""
    return [*trial.system_attrs.get(HISTORY, []), trial.number]
