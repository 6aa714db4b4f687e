"""A worker: does trial after trial of a study until it has enough, or a signal comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from ventralstream.errors import Interrupted, VentralError
from ventralstream.interrupt import Interruption
from ventralstream.search.attempt import Attempt, TrialFailed
from ventralstream.search.database import Unanswered
from ventralstream.search.outcomes import RAISED, REFUSED, SETTLED, TWIN, outcome_of
from ventralstream.search.requeue import cut_short, forgotten, given_up, requeue
from ventralstream.search.study import Study, some_candidate
from ventralstream.training.recipe import Place

MOST_REFUSED = 200  # one after the other
MOST_RAISED = 3  # one after the other, of one worker
LOOK_EVERY = 1.0  # seconds, while others do the last trials


class Counts(NamedTuple):
    """How many trials of a study there are.

    Attributes:
        settled: Of which something came, or which failed by themselves.
        running: That some worker does, or did until it died.
        waiting: That are enqueued.
        refused: The last ones in a row that a budget refused.
    """

    settled: int
    running: int
    waiting: int
    refused: int


def count(trials: list[FrozenTrial], deaths: int) -> Counts:
    """Counts a study's trials; `deaths` is how many workers may die in one."""
    settled = running = waiting = refused = 0
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            running += 1
        elif trial.state == TrialState.WAITING:
            waiting += 1
        elif (outcome := outcome_of(trial)) in (REFUSED, TWIN):
            refused += outcome == REFUSED
        elif not cut_short(trial) or given_up(trial, deaths):
            settled, refused = settled + 1, 0
    return Counts(settled, running, waiting, refused)


def work(
    study: Study,
    place: Place | None = None,
    *,
    trials: int | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Does trials until the study has as many as it wants; then nothing is left running.

    Args:
        study: The study.
        place: Where to train; this machine's defaults if None.
        trials: Stop after so many of one's own.
        say: Takes a line for each trial.

    Returns:
        The trials done.

    Raises:
        VentralError: if the database stays away, trials cannot be done here, or they end one after the other with an
            error, or by a budget.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP; the trial goes on from its checkpoint in another worker.
    """
    tell = say or (lambda line: None)
    search, done, raised, prepared = study.search, 0, 0, False
    with Interruption() as stop:
        attempt = Attempt(study, place or Place(), stop)
        study.storage.give_up = lambda: stop.wanted
        while not stop.wanted:
            with study.storage.read_once():  # what follows is decided, and drawn, by one reading of all trials
                there = study.trials
                if lost := forgotten(there, search.grace, search.deaths):
                    for trial in lost:
                        requeue(study.optuna, trial, search.deaths)
                    continue
                counts = count(there, search.deaths)
                begun = counts.settled + counts.running
                enough = begun >= search.trials or search.sampler == "grid"  # of which all points were enqueued
                if enough and not counts.running and not counts.waiting:
                    return done
                if trials is not None and done >= trials:
                    return done
                if counts.refused >= MOST_REFUSED and search.sampler != "grid":
                    raise VentralError(
                        f"the budget has refused {counts.refused} networks in a row; begin a study with a larger one"
                    )
                if enough and not counts.waiting:
                    time.sleep(LOOK_EVERY)  # others do the last ones, and may yet die in them
                    optuna.storages.fail_stale_trials(study.optuna)
                    continue
                if not prepared:
                    search.objective.prepare(some_candidate(study.space), study.recipe, place or Place())
                    prepared = True
                    continue  # the reading has become old
                try:
                    _one(study, attempt)
                except Interrupted:
                    break
            done += attempt.outcome not in ("", REFUSED, TWIN)
            tell(f"trial {attempt.number}: {attempt.said}")
            raised = raised + 1 if attempt.outcome == RAISED else 0
            if raised == MOST_RAISED:
                raise VentralError(
                    f"the last {raised} trials all ended with an error ({attempt.said}); mend what all of them have in"
                    " common, and go on with the same command"
                )
        raise Interrupted("interrupted; its trial goes on when a worker comes again", stop.interrupted().code)


def _one(study: Study, attempt: Attempt) -> None:
    """One trial, after those of workers that died are enqueued again. What another has made of it meanwhile stays."""
    attempt.trial_id = None
    try:
        study.optuna.optimize(attempt, n_trials=1, catch=(TrialFailed,))
    except Interrupted:
        _enqueue_again(study, attempt)
        raise
    except Unanswered:
        raise
    except (optuna.exceptions.OptunaError, ValueError):
        if attempt.trial_id is None:
            raise
        trial = study.storage.get_trial(attempt.trial_id)
        if not trial.state.is_finished():
            raise
        if not attempt.lost and trial.state != TrialState.FAIL:
            return  # it was told, though the database broke off before it said so
        attempt.outcome, attempt.said = "", "given away: this worker was taken for dead, and another carries it on"
        return
    if attempt.folder is not None and attempt.outcome in SETTLED and attempt.outcome != RAISED:  # there one may look
        study.search.objective.clean(attempt.folder)


def _enqueue_again(study: Study, attempt: Attempt) -> None:
    if attempt.trial_id is not None:
        trial = study.storage.get_trial(attempt.trial_id)
        if trial.state == TrialState.FAIL and not attempt.lost:
            requeue(study.optuna, trial, study.search.deaths)
