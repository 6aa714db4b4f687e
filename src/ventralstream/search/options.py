"""How a space is searched, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.search.objective import Objective, Training
from ventralstream.search.surrogate import Surrogate as Surrogate  # so that a study can name it
from ventralstream.values import Count, Natural, Positive, Seed, Within

SamplerName = Literal["tpe", "random", "grid"]


@tagged("search")
@dataclass(frozen=True)
class Search(Spec):
    """How a space is searched.

    Attributes:
        sampler: What proposes: "tpe" learns from the trials before, "random" draws, "grid" tries every point.
        trials: Trials to come to an end; those that a budget refused do not count. With several workers there may be a
            few more.
        seed: Of what is drawn. The weights' seed is the recipe's.
        startup: Trials that TPE draws at random before it begins.
        halving: Successive halving by the validation accuracy after each epoch: the best one of so many goes on after
            1, so many, so many squared ... epochs. 0 prunes none.
        max_parameters: Refuses networks with more trainable parameters, before they are trained.
        max_mflop: Refuses networks that need more, in 10^6 operations of a forward pass for an image.
        trial_minutes: Ends a trial that takes longer.
        heartbeat: Seconds between two signs of life of a worker.
        grace: Seconds without one after which a worker counts as dead, and another carries its trial on.
        deaths: Workers that may die in a trial, without an epoch between, before it is given up.
        objective: What a trial does: "training"; "surrogate", which foretells its accuracy from networks that were
            trained; or, to test how workers are run, "sleep".
    """

    sampler: SamplerName = "tpe"
    trials: Count = 100
    seed: Seed = 0
    startup: Count = 20
    halving: Annotated[int, Within(0, 100)] = 0
    max_parameters: Count | None = None
    max_mflop: Positive | None = None
    trial_minutes: Positive | None = None
    heartbeat: Annotated[int, Within(1, 3600)] = 30
    grace: Annotated[int, Within(1, 86400)] = 120
    deaths: Natural = 5
    objective: Objective = Training()  # noqa: RUF009 - frozen

    def check(self) -> None:
        if self.halving == 1:
            raise VentralError("'halving' is 1; expected 0, which prunes none, or at least 2")
        if self.grace < 2 * self.heartbeat:
            raise VentralError(
                f"'grace' is {self.grace} s; expected at least two heartbeats, {2 * self.heartbeat} s, or workers that"
                " live count as dead"
            )
