"""Feedforward controls: the same areas without cells, and widths matched to a number of parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ventralstream.models.convrnn import CIFAR_CHANNELS, shallow, shallow_small
from ventralstream.models.registry import count_parameters, register_model
from ventralstream.spec import NetworkSpec

FEEDFORWARD_STEPS = 6  # as many as the six areas need in biological order


@dataclass(frozen=True)
class Match:
    """A network matched in parameters.

    Attributes:
        spec: The network.
        width: What its channels were multiplied by.
        parameters, target: What it came to, and what was wanted.
    """

    spec: NetworkSpec
    width: float
    parameters: int
    target: int

    @property
    def error(self) -> float:
        """How far off, relative to the target."""
        return self.parameters / self.target - 1


def match_width(make: Callable[[float], NetworkSpec], target: int, low: float = 0.1, high: float = 20.0) -> Match:
    """Finds the width multiplier whose parameter count comes nearest to `target`, by bisection.

    Args:
        make: Gives the spec for a width multiplier; its parameters must grow with it.
        target: The parameters wanted.
        low, high: Multipliers to look between.
    """
    best: Match | None = None
    for _ in range(24):
        width = (low + high) / 2
        spec = make(width)
        found = Match(spec, width, count_parameters(spec), target)
        if best is None or abs(found.error) < abs(best.error):
            best = found
        low, high = (width, high) if found.parameters < target else (low, width)
    assert best is not None
    return best


def scaled(channels: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Channels times a multiplier, at least 1 each."""
    return tuple(max(1, round(c * width)) for c in channels)


@register_model("feedforward")
def ff_shallow(num_classes: int = 1000, width: float = 1.0) -> NetworkSpec:
    """Six areas without cells, ELU after each convolution (paper A's feedforward control)."""
    spec = shallow({}, num_classes, scaled((64, 128, 256, 256, 512), width), activated=True)
    return spec.replace(steps=FEEDFORWARD_STEPS)


@register_model("feedforward")
def ff_shallow_cifar(num_classes: int = 10, width: float = 1.0) -> NetworkSpec:
    """Six areas without cells for 32-px images."""
    return shallow_small({}, num_classes, scaled(CIFAR_CHANNELS, width), steps=FEEDFORWARD_STEPS)
