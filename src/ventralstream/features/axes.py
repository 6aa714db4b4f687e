"""The time of what is recorded of an area: its steps, and what they are in ms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """An area's recorded steps.

    Attributes:
        steps: The steps, counted from the network's first.
        dt_ms: How long each lasts.
        onset: The step at which the stimulus is first shown.
        first_step: The first step at which the stimulus drives the area; before it all images are alike.
    """

    steps: tuple[int, ...]
    dt_ms: float
    onset: int
    first_step: int

    @property
    def times_ms(self) -> tuple[float, ...]:
        """When each step begins, from the network's first."""
        return tuple(t * self.dt_ms for t in self.steps)

    @property
    def bins_ms(self) -> list[tuple[float, float]]:
        """When each step begins and ends, from stimulus onset."""
        return [((t - self.onset) * self.dt_ms, (t - self.onset + 1) * self.dt_ms) for t in self.steps]

    @property
    def driven(self) -> NDArray[np.int64]:
        """Where in the recorded steps the stimulus matters."""
        return np.flatnonzero(np.array(self.steps) >= self.first_step)

    @property
    def early(self) -> tuple[int, ...]:
        """The recorded steps at which all images are alike."""
        return tuple(t for t in self.steps if t < self.first_step)
