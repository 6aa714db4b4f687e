"""A trial that trains: the candidate goes through a training run of its own, which any worker can carry on."""

from __future__ import annotations

import math
from typing import Any

from ventralstream.errors import VentralError
from ventralstream.files import remove
from ventralstream.search.objective import Hooks, Outcome
from ventralstream.search.space import Candidate
from ventralstream.training.checkpoint import checkpoints
from ventralstream.training.folder import CHECKPOINTS, METRICS, check_is_run
from ventralstream.training.metrics import read_rows
from ventralstream.training.run import resume, train


def train_candidate(candidate: Candidate, hooks: Hooks) -> Outcome:
    """Trains a candidate in the trial's folder, from the beginning or from where another worker left it.

    Raises:
        NotFinite: if the training diverged.
        Interrupted: if a signal came; what is done is saved.
    """
    reported: dict[int, float] = {}

    def after_epoch(epoch: int, measured: dict[str, float]) -> None:
        reported[epoch] = measured["val_accuracy"]
        hooks.report(epoch, measured["val_accuracy"])

    each: dict[str, Any] = {"after_batch": lambda done: hooks.tick(), "after_epoch": after_epoch}
    if _begun(hooks):
        for row in read_rows(hooks.folder / METRICS):  # the worker that died may not have told of the last epoch
            if row["val_accuracy"]:
                after_epoch(int(row["epoch"]), {"val_accuracy": float(row["val_accuracy"])})
        result = resume(hooks.folder, place=hooks.place, **each)
    else:
        remove(hooks.folder)  # what a worker left that died before its first checkpoint
        result = train(candidate.spec, candidate.recipe(hooks.recipe), hooks.folder, place=hooks.place, **each)
    by_step = [accuracy for accuracy in result.accuracy.values() if math.isfinite(accuracy)]
    return Outcome(max(reported.values(), default=result.decision), by_step)


def _begun(hooks: Hooks) -> bool:
    """Whether there is a run to be carried on."""
    try:
        check_is_run(hooks.folder)
    except VentralError:
        return False
    return bool(checkpoints(hooks.folder / CHECKPOINTS))
