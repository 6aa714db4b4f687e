"""Readouts: from logits over time to one decision (the decoders of Nayebi et al. 2022; docs/papers.md A.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ventralstream.jsonable import Spec, spec_class, tagged, tags
from ventralstream.values import Amount, Natural, Probability

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Readout(Spec):
    """Base of the readouts: says which steps' logits it needs and what it decides from them."""

    def steps(self, first: int, stop: int) -> range:
        """The steps whose logits are needed.

        Args:
            first: The first step at which the image drives the logits.
            stop: The number of steps run so far and now, T; the last step is `stop - 1`.
        """
        raise NotImplementedError

    def choose(self, logits: Tensor) -> Tensor:
        """The index into the time axis of `logits` [B, T', K] that each image's decision is taken from: [B]."""
        raise NotImplementedError

    def decide(self, logits: Tensor) -> Tensor:
        """The decision's logits [B, K] from `logits` [B, T', K]."""
        rows = self.choose(logits)
        return logits.gather(1, rows[:, None, None].expand(-1, 1, logits.shape[2])).squeeze(1)


@dataclass(frozen=True)
class _Windowed(Readout):
    """A readout over the steps from `start` on; None starts with the first step that the image drives."""

    start: Natural | None = None

    def steps(self, first: int, stop: int) -> range:
        start = first if self.start is None else self.start
        return range(min(start, stop - 1), stop)


@tagged("last")
@dataclass(frozen=True)
class Last(Readout):
    """The logits of the last step: the default of the ConvRNNs and of the CORnets (docs/papers.md A.6, B.2).

    Attributes:
        form: "logits" as they are; "probabilities", their softmax; "linear", divided by their sum (both among the
            decoders in the code of Nayebi et al. 2022).
    """

    form: Literal["logits", "probabilities", "linear"] = "logits"

    def decide(self, logits: Tensor) -> Tensor:
        last = logits[:, -1]
        if self.form == "probabilities":
            return last.softmax(-1)
        return last / last.sum(-1, keepdim=True) if self.form == "linear" else last

    def steps(self, first: int, stop: int) -> range:
        return range(stop - 1, stop)

    def choose(self, logits: Tensor) -> Tensor:
        return logits.new_full((logits.shape[0],), logits.shape[1] - 1).long()


@tagged("per_step")
@dataclass(frozen=True)
class PerStep(_Windowed):
    """Every step's logits are kept; the decision is the last one's."""

    def choose(self, logits: Tensor) -> Tensor:
        return Last().choose(logits)


@tagged("mean")
@dataclass(frozen=True)
class Mean(_Windowed):
    """The mean of the logits over the steps from `start` on (our choice of an average; docs/papers.md A.7)."""

    def choose(self, logits: Tensor) -> Tensor:
        return Last().choose(logits)

    def decide(self, logits: Tensor) -> Tensor:
        return logits.mean(1)


@tagged("class_weighted")
@dataclass(frozen=True)
class ClassWeighted(_Windowed):
    """Each class's mean over time, weighted by the softmax over time of `beta` times that class's logits."""

    beta: Amount = 1.0

    def choose(self, logits: Tensor) -> Tensor:
        return Last().choose(logits)

    def decide(self, logits: Tensor) -> Tensor:
        return ((self.beta * logits).softmax(1) * logits).sum(1)


@dataclass(frozen=True)
class _Confident(_Windowed):
    """A readout that compares confidences: the largest softmax probability of `beta` times the logits."""

    beta: Amount = 1.0

    def confidence(self, logits: Tensor) -> Tensor:
        """The largest class probability of each step: `logits` [..., K] to [...]."""
        return (self.beta * logits).softmax(-1).amax(-1)


@tagged("max_confidence")
@dataclass(frozen=True)
class MaxConfidence(_Confident):
    """The logits of the most confident step; the first one of equals ("tmaxconf")."""

    def choose(self, logits: Tensor) -> Tensor:
        return self.confidence(logits).argmax(1)


@tagged("confidence_weighted")
@dataclass(frozen=True)
class ConfidenceWeighted(_Confident):
    """The mean over time, weighted by the softmax over time of `time_beta` times each step's confidence."""

    time_beta: Amount = 1.0

    def choose(self, logits: Tensor) -> Tensor:
        return Last().choose(logits)

    def decide(self, logits: Tensor) -> Tensor:
        weights = (self.time_beta * self.confidence(logits)).softmax(1)
        return (weights[..., None] * logits).sum(1)


@tagged("class_peak")
@dataclass(frozen=True)
class ClassPeak(_Confident):
    """Each class's logit at the step where that class is most probable; the first one of equals.

    The step of the decision is that of the class decided for.
    """

    def peaks(self, logits: Tensor) -> Tensor:
        """The index into the time axis at which each class is most probable: [B, K]."""
        return (self.beta * logits).softmax(-1).argmax(1)

    def choose(self, logits: Tensor) -> Tensor:
        return self.peaks(logits).gather(1, self.decide(logits).argmax(-1, keepdim=True)).squeeze(1)

    def decide(self, logits: Tensor) -> Tensor:
        return logits.gather(1, self.peaks(logits)[:, None]).squeeze(1)


@tagged("threshold")
@dataclass(frozen=True)
class Threshold(_Confident):
    """The logits of the first step as confident as `threshold`; the most confident one if none is ("dthresh")."""

    threshold: Probability = 0.9

    def choose(self, logits: Tensor) -> Tensor:
        confidence = self.confidence(logits)
        crossed = confidence >= self.threshold
        return crossed.int().argmax(1).where(crossed.any(1), confidence.argmax(1))


def examples() -> dict[str, str]:
    """How each readout is made, by its name."""
    return {tag: f"vs.{spec_class(tag).__name__}()" for tag in tags(Readout)}
