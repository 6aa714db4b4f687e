"""What a trial does with its candidate, as data: it trains it, or stands in for that in tests of the search itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from ventralstream.files import remove
from ventralstream.interrupt import Interruption
from ventralstream.jsonable import Spec, tagged
from ventralstream.search.space import Candidate
from ventralstream.training.recipe import Place, Recipe
from ventralstream.values import Within

Report = Callable[[int, float], None]


@dataclass(frozen=True)
class Hooks:
    """What a trial is told, and tells.

    Attributes:
        folder: Its own folder, to carry on from; made when it is needed; there already if a worker died.
        recipe: How it trains.
        place: Where.
        report: To be called after each epoch with their number and the validation accuracy; what it raises must end
            the trial.
        tick: To be called often: what it raises must end the trial (its time is over).
        stop: Whether a signal asks for the end; then the trial saves and raises `Interrupted`.
        parameters, flops: Of the network: trainable parameters, forward FLOPs an image.
        number: The trial's number.
    """

    folder: Path
    recipe: Recipe
    place: Place
    report: Report
    tick: Callable[[], None]
    stop: Interruption
    parameters: int
    flops: int
    number: int


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        value: The best validation accuracy of its epochs, 0 to 1.
        accuracy_by_step: That of the logits of each step after the last epoch, from the first that the image drives.
    """

    value: float
    accuracy_by_step: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Objective(Spec):
    """Base of what a trial may do.

    Attributes:
        costs: Whether the candidate's parameters and FLOPs are counted before.
        known: Whether a candidate that was tried before gets the same value again, so that it need not be tried.
    """

    costs: ClassVar[bool] = True
    known: ClassVar[bool] = True

    def prepare(self, candidate: Candidate, recipe: Recipe, place: Place) -> None:
        """Looks, before a worker's first trial, whether trials can be done here; the default has nothing to look at.

        Args:
            candidate: One of the space's.
            recipe: The study's.
            place: Where this worker trains.

        Raises:
            VentralError: if they cannot, which would be so for all.
        """

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        """Does it.

        Raises:
            NotFinite: if the training diverged.
            Interrupted: if a signal came; what was done is saved in the folder.
        """
        raise NotImplementedError

    def clean(self, folder: Path) -> None:
        """Removes what a trial that is done with needs no more; the default removes nothing."""


@tagged("training")
@dataclass(frozen=True)
class Training(Objective):
    """Trains the candidate by the study's recipe; its value is the best validation accuracy of an epoch."""

    def prepare(self, candidate: Candidate, recipe: Recipe, place: Place) -> None:
        from ventralstream.search.trial import check_trainable

        check_trainable(candidate, recipe, place)

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        from ventralstream.search.trial import train_candidate  # torch, and all that training needs

        return train_candidate(candidate, hooks)

    def clean(self, folder: Path) -> None:
        for name in ("checkpoints", "tensorboard"):
            remove(folder / name)


@tagged("sleep")
@dataclass(frozen=True)
class Sleep(Objective):
    """Sleeps, and notes in the trial's folder how far it came: for tests of workers, storages and clusters.

    Attributes:
        seconds: How long, in all.
        epochs: In so many parts.
    """

    costs: ClassVar[bool] = False

    seconds: Annotated[float, Within(0, 1e6)] = 1.0
    epochs: Annotated[int, Within(1, 1000)] = 5

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        hooks.folder.mkdir(parents=True, exist_ok=True)
        log = hooks.folder / "epochs.txt"
        done = len(log.read_text().splitlines()) if log.exists() else 0
        value = int(candidate.key[:8], 16) / 2**32
        for epoch in range(1, self.epochs + 1):
            if epoch > done:
                until = time.monotonic() + self.seconds / self.epochs
                while (left := until - time.monotonic()) > 0:
                    time.sleep(min(left, 0.1))
                    hooks.tick()
                    if hooks.stop.wanted:
                        raise hooks.stop.interrupted()
                with log.open("a") as file:
                    file.write(f"{epoch}\n")
            hooks.report(epoch, value * epoch / self.epochs)
        return Outcome(value, [value])
