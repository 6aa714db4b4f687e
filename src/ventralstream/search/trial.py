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
from ventralstream.training.recipe import Place, Recipe
from ventralstream.training.run import resume, train, trained_spec


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


def check_trainable(candidate: Candidate, recipe: Recipe, place: Place) -> None:
    """Raises VentralError if a candidate cannot be trained here, or not as it was counted: on images of its size."""
    found, trained = candidate.recipe(recipe), candidate.spec
    shape = trained_spec(trained, found, place).input_shape
    if shape != trained.input_shape:
        raise VentralError(
            f"the networks of the space are for images of {_size(trained.input_shape)}, those of '{found.data}' are"
            f" {_size(shape)}, so that operations would be counted wrongly; give the space's networks that input_shape"
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _begun(hooks: Hooks) -> bool:
    """Whether there is a run to be carried on."""
    try:
        check_is_run(hooks.folder)
    except VentralError:
        return False
    return bool(checkpoints(hooks.folder / CHECKPOINTS))
