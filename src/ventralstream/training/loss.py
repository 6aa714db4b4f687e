"""Losses over time, as data: how the network is run in a batch, and what is made smaller.

All are cross-entropies with the class; they differ in which logits they look at. How logits become a decision is said
by a `Readout`. Torch is imported when a loss is computed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.presentation import Presentation, Segment
from ventralstream.readout import Last, PerStep, Readout
from ventralstream.spec import NetworkSpec
from ventralstream.timing import check_driven, first_steps
from ventralstream.values import Amount, Count, Fraction

if TYPE_CHECKING:
    from torch import Tensor

    from ventralstream.output import Output


@dataclass(frozen=True)
class View:
    """How a network is run for one batch.

    Attributes:
        steps: Steps of the unroll.
        presentation: What is shown when.
        readout: Which logits are asked for.
    """

    steps: int
    presentation: Presentation
    readout: Readout


@dataclass(frozen=True)
class Loss(Spec):
    """Base of the losses.

    Attributes:
        label_smoothing: The part of the target's probability that is spread over all classes.
    """

    label_smoothing: Fraction = 0.0

    draws: ClassVar[bool] = False  # whether batches are run in different ways

    def view(self, spec: NetworkSpec, rng: random.Random) -> View:
        """How the network is run for one batch; what is drawn is drawn from `rng`."""
        return View(spec.steps, spec.presentation, spec.readout)

    def check_fits(self, spec: NetworkSpec) -> None:
        """Raises VentralError if a network cannot be trained with this loss."""
        check_driven(spec, spec.steps, readout=spec.readout)

    def of(self, out: Output, labels: Tensor) -> Tensor:
        """The loss of a batch of classes `labels` [B]: one number."""
        return self.cross_entropy(out.output, labels)

    def by_step(self, spec: NetworkSpec, view: View) -> dict[int, float]:
        """The loss as a weighted sum of single steps' cross-entropies: each step's weight.

        Raises:
            VentralError: if it is none, as it needs the logits of several steps at once.
        """
        if not isinstance(view.readout, PerStep) and view.readout != Last():
            raise VentralError(
                f"truncated backpropagation (tbptt) needs a loss of single steps, but the readout '{view.readout.tag}'"
                " decides from several steps at once; take the readout 'last' or the loss 'mean_over_steps'"
            )
        return {view.steps - 1: 1.0}

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """That of logits [B, K] of one step."""
        import torch.nn.functional as F

        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


@tagged("decision")
@dataclass(frozen=True)
class DecisionLoss(Loss):
    """Of what the network's readout decides; that of a `PerStep` is the last step's."""


@tagged("mean_over_steps")
@dataclass(frozen=True)
class MeanLoss(Loss):
    """The mean of the losses of all steps that the image drives: each learns to answer as well as it can by then."""

    def view(self, spec: NetworkSpec, rng: random.Random) -> View:
        """As the spec says, with the logits of every driven step."""
        return View(spec.steps, spec.presentation, PerStep())

    def of(self, out: Output, labels: Tensor) -> Tensor:
        """The mean over steps and images."""
        steps = out.logits.shape[1]
        return self.cross_entropy(out.logits.flatten(0, 1), labels.repeat_interleave(steps))

    def by_step(self, spec: NetworkSpec, view: View) -> dict[int, float]:
        steps = view.readout.steps(first_steps(spec)[spec.readout_area], view.steps)
        return {t: 1 / len(steps) for t in steps}


@tagged("weighted_steps")
@dataclass(frozen=True)
class WeightedLoss(Loss):
    """The mean of the losses of the driven steps, weighted.

    Attributes:
        step_weights: One for each step from the first that the image drives, e.g. (0.3, 1.0); fewer are the last
            steps'.
    """

    step_weights: tuple[Amount, ...] = (1.0,)

    def check(self) -> None:
        if not sum(self.step_weights) > 0:
            raise VentralError(f"the weights of the steps are {self.step_weights}; expected at least one above 0")

    def check_fits(self, spec: NetworkSpec) -> None:
        """Raises VentralError if there are more weights than driven steps."""
        super().check_fits(spec)
        driven = spec.steps - first_steps(spec)[spec.readout_area]
        if len(self.step_weights) > driven:
            raise VentralError(
                f"the loss weights {len(self.step_weights)} steps, but the image drives {driven} of the {spec.steps}"
                f" steps of '{spec.name}'"
            )

    def view(self, spec: NetworkSpec, rng: random.Random) -> View:
        """As the spec says, with the logits of the weighted steps."""
        return View(spec.steps, spec.presentation, PerStep(start=spec.steps - len(self.step_weights)))

    def of(self, out: Output, labels: Tensor) -> Tensor:
        """The weighted mean over steps, and the mean over images."""
        terms = [w * self.cross_entropy(out.logits[:, i], labels) for i, w in enumerate(self.step_weights) if w]
        return sum(terms[1:], terms[0]) / sum(self.step_weights)

    def by_step(self, spec: NetworkSpec, view: View) -> dict[int, float]:
        start, total = view.steps - len(self.step_weights), sum(self.step_weights)
        return {start + i: w / total for i, w in enumerate(self.step_weights) if w}


@tagged("random_step")
@dataclass(frozen=True)
class RandomStepLoss(Loss):
    """Of one driven step, drawn for each batch: about the cost of half an unroll, and every step learns to answer."""

    draws: ClassVar[bool] = True

    def view(self, spec: NetworkSpec, rng: random.Random) -> View:
        """The unroll ends with the step."""
        stop = rng.randrange(first_steps(spec)[spec.readout_area], spec.steps) + 1
        return View(stop, spec.presentation, Last())


@tagged("random_duration")
@dataclass(frozen=True)
class RandomDurationLoss(Loss):
    """Of the readout's decision, the image being on for a number of steps that is drawn for each batch.

    Attributes:
        shortest: The smallest number of steps that the image is on; the largest is the number of steps run.
    """

    shortest: Count = 1

    draws: ClassVar[bool] = True

    def check_fits(self, spec: NetworkSpec) -> None:
        """Raises VentralError if the network is shown anything but one image from the beginning."""
        super().check_fits(spec)
        first = spec.presentation.segments[0]
        if first.shows != "image":
            raise VentralError(
                f"a random duration needs a presentation that begins with the image; that of '{spec.name}' begins with"
                f" a {first.shows}"
            )
        if self.shortest > spec.steps:
            raise VentralError(f"the shortest duration is {self.shortest} steps, but '{spec.name}' runs {spec.steps}")
        check_driven(spec, spec.steps, _shown(spec, self.shortest), spec.readout)

    def view(self, spec: NetworkSpec, rng: random.Random) -> View:
        """The spec's steps and readout, the image on for some of them."""
        return View(spec.steps, _shown(spec, rng.randint(self.shortest, spec.steps)), spec.readout)


def _shown(spec: NetworkSpec, on: int) -> Presentation:
    """The spec's presentation with the image on for `on` steps; its blank, or that of the published ConvRNNs, after."""
    if on >= spec.steps:
        return Presentation((Segment("image"),))
    blank = next((s for s in spec.presentation.segments if s.shows == "blank"), Segment("blank"))
    return Presentation((Segment("image", on), blank.replace(steps=None)))
