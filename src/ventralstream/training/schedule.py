"""The learning rate over a run, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Amount, Within


@tagged("schedule")
@dataclass(frozen=True)
class Schedule(Spec):
    """The learning rate over the run, as a factor of the optimiser's.

    Attributes:
        kind: "constant"; "step" (multiplied by `drop` every `drop_every` epochs, or at `drop_at`); "cosine" (half a
            period, down to 0 at the end of the run); "onecycle" (up in a straight line for the first 30 % of the run
            and down to 0 in another; after Smith & Topin 2017, but with constant momentum: our choice).
        warmup: Epochs during which the factor also rises from 0 in a straight line.
        drop_every: Epochs between the drops of "step".
        drop_at: The epochs of the drops of "step", if they are not at equal distances.
        drop: The factor of each of them.
    """

    kind: Literal["constant", "step", "cosine", "onecycle"] = "onecycle"
    warmup: Amount = 0.0
    drop_every: Annotated[float, Within(1e-3, 1e6)] = 30.0
    drop_at: tuple[Amount, ...] = ()
    drop: Annotated[float, Within(above=0, at_most=1)] = 0.1

    def check(self) -> None:
        usual = Schedule.__dataclass_fields__
        given = [name for name in ("drop_every", "drop_at", "drop") if getattr(self, name) != usual[name].default]
        if given and self.kind != "step":
            raise VentralError(
                f"the schedule '{self.kind}' has no drops, but {' and '.join(given)} is given; expected the schedule"
                " 'step' with it"
            )
        if "drop_at" in given and "drop_every" in given:
            raise VentralError("a schedule drops at drop_at or every drop_every epochs; give one of them")

    def factor(self, batch: int, batches: int, epochs: int) -> float:
        """The factor for one batch.

        Args:
            batch: Batches before it in the run.
            batches: Batches in an epoch.
            epochs: Epochs in the run.
        """
        epoch = batch / batches  # now, in epochs
        part = epoch / epochs  # now, as a part of the run
        rise = min(1.0, (batch + 1) / (self.warmup * batches)) if self.warmup else 1.0
        if self.kind == "step":
            drops = (
                sum(epoch >= at for at in self.drop_at) if self.drop_at else math.floor(epoch / self.drop_every + 1e-9)
            )
            return rise * self.drop**drops
        if self.kind == "cosine":
            return rise * (1 + math.cos(math.pi * part)) / 2
        if self.kind == "onecycle":
            return rise * min((batch + 1) / (0.3 * epochs * batches), (1 - part) / 0.7, 1.0)
        return rise
