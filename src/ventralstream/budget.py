"""Budgets: what would hang or exhaust memory is refused before anything is traced or allocated.

Each is a plain number; who means more sets it, as in `ventralstream.budget.STEPS = 50_000`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from ventralstream.errors import VentralError


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 2**36


STEPS = 10_000
"""Steps of one unroll; longer ones carry the state on from unroll to unroll."""

COPIES = 20_000
"""Sets of parameters that layers with one for each step come to, over the whole network."""

MAP = 2**30
"""Numbers in one map of one image."""

PARAMETERS = 2**31
"""Parameters and buffers of a network."""

DRAWS = 100_000
"""Random splits, halvings or resamples that a score rests on."""

MEMORY = _physical_memory()
"""Bytes that the results of one unroll may take on a processor: the machine's memory."""


def check_steps(steps: int, areas: int) -> None:
    """Refuses an unroll of too many steps.

    Args:
        steps: Steps of the unroll.
        areas: Areas of the network.
    """
    if steps > STEPS:
        raise VentralError(
            f"{steps} steps of {areas} areas would be {steps * areas:.3g} evaluations to plan; one unroll has at most"
            f" {STEPS} steps: carry the state on from unroll to unroll, or raise ventralstream.budget.STEPS"
        )


def check_copies(network: str, copies: int) -> None:
    """Refuses a network with too many parameters that are one set a step."""
    if copies > COPIES:
        raise VentralError(
            f"the layers of '{network}' with parameters of their own for each step come to {copies:.3g} sets, more than"
            f" {COPIES}: use fewer steps with their own, or raise ventralstream.budget.COPIES"
        )


def check_map(where: str, shape: Iterable[int]) -> None:
    """Refuses a map that is too large for any machine."""
    shape = tuple(shape)
    if math.prod(shape) > MAP:
        raise VentralError(
            f"{where}: a map of {shape} is {_bytes(4 * math.prod(shape))} for each image, more than"
            f" {_bytes(4 * MAP)} (ventralstream.budget.MAP)"
        )


def check_parameters(shape: Iterable[int], before: int) -> None:
    """Refuses a network with too many parameters.

    Args:
        shape: Of the tensor that comes next.
        before: Numbers in those that are there already.
    """
    shape = tuple(shape)
    total = before + math.prod(shape)
    if total > PARAMETERS:
        raise VentralError(
            f"a network with a tensor of {' x '.join(map(str, shape))} has at least {total:.3g} parameters"
            f" ({_bytes(4 * total)}), more than {PARAMETERS:.3g} (ventralstream.budget.PARAMETERS)"
        )


def check_memory(size: int, what: str) -> None:
    """Refuses results that cannot be held.

    Args:
        size: Bytes they take.
        what: What they are ("the recordings of 100 steps").
    """
    if size > MEMORY:
        raise VentralError(
            f"{what} would take {_bytes(size)}, more than the {_bytes(MEMORY)} of memory here"
            " (ventralstream.budget.MEMORY): ask for fewer steps, areas or images at a time"
        )


def _bytes(size: int) -> str:
    power = min(max(size.bit_length() - 1, 0) // 10, 6)
    return f"{size / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power]}"
