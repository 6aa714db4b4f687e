"""The question fixed beforehand where time must matter: does it pay to give each scene the time it needs?

A scene is answered at the first step at which the recurrent network is as sure as `THRESHOLD`, at the last step if it
never is. The comparison is with answering every scene after the same time, the mean that early exit took: between two
steps, a share of the scenes gets the later one, so that the mean is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ventralstream.demo.compare import Interval, paired_difference

THRESHOLD = 0.9  # fixed before the first run
Answer = Literal["paid", "cost accuracy", "made no clear difference"]

RULE = (
    f"Early exit answers a scene at the first step whose largest probability reaches {THRESHOLD:g}, else at the last"
    " step. It 'paid' if it is right more often than answering every scene at the mean time that it takes, the 95 %"
    " interval of the difference lying above zero, and 'cost accuracy' if it lies below; the mean time counts as known."
)


@dataclass(frozen=True)
class EarlyExit:
    """What early exit gave.

    Attributes:
        answer: The answer to the question; see `RULE`.
        difference: Accuracy of early exit less that of the same mean time for all.
        accuracy, accuracy_at_mean: Those two.
        mean_step: Mean step of the answers.
        mean_step_per_clutter: The same at each level of clutter.
        share_per_step: Of all answers, how many came at each of the network's steps.
    """

    answer: Answer
    difference: Interval
    accuracy: float
    accuracy_at_mean: float
    mean_step: float
    mean_step_per_clutter: tuple[float, ...]
    share_per_step: tuple[float, ...]


def early_exit(
    probabilities: NDArray[np.float32],
    correct: NDArray[np.bool_],
    steps: range,
    seed: int,
    threshold: float = THRESHOLD,
) -> EarlyExit:
    """Answers the question.

    Args:
        probabilities: [L, N, T', 10], of the digits at each driven step, over levels of clutter and scenes.
        correct: [L, N, T'], whether each step's answer was right.
        steps: The T' steps.
        seed: Of the bootstrap.
        threshold: How sure is sure.
    """
    sure = probabilities.max(-1) >= threshold
    index = np.where(sure.any(-1), sure.argmax(-1), len(steps) - 1)
    right = np.take_along_axis(correct, index[..., None], -1)[..., 0]
    mean = float(index.mean())
    early, share = math.floor(mean), mean - math.floor(mean)
    late = min(early + 1, len(steps) - 1)
    at_mean = (1 - share) * correct[..., early] + share * correct[..., late]
    difference = paired_difference(right.T, at_mean.T, seed)
    answer: Answer = "made no clear difference"
    if difference.low > 0:
        answer = "paid"
    elif difference.high < 0:
        answer = "cost accuracy"
    return EarlyExit(
        answer,
        difference,
        float(right.mean()),
        float(at_mean.mean()),
        steps.start + mean,
        tuple((steps.start + index.mean(1)).tolist()),
        tuple((np.bincount(index.ravel(), minlength=len(steps)) / index.size).tolist()),
    )
