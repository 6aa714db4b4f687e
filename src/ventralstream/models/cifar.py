"""What networks for CIFAR's images have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ventralstream.presentation import Constant
from ventralstream.spec import Area, Connection, NetworkSpec

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def silent_network(
    name: str, areas: Sequence[Area], connections: Sequence[Connection], steps: int, init: Literal["he", "identity"]
) -> NetworkSpec:
    """A network whose areas are silent until something reaches them; the last area is read out.

    Args:
        name: The spec's name.
        areas, connections: Its graph.
        steps: Steps to run.
        init: How its weights start.
    """
    return NetworkSpec(
        name,
        tuple(areas),
        tuple(connections),
        areas[-1].name,
        input_shape=(3, 32, 32),
        steps=steps,
        presentation=Constant(),
        before_start="silent",
        init=init,
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
    )
