"""Chance that two ways of running the same stages have in common."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ventralstream.cells.base import Cell
from ventralstream.network import Network
from ventralstream.purity import mapped
from ventralstream.remat import restoring

METHODS = {"drive": "drive", "feedback": "feedback", "update": "update", "emit": "update"}


def seed_all(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's generators on the CPU."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # what cells may draw from
    torch.default_generator.manual_seed(seed)


@contextmanager
def restored_chance() -> Iterator[None]:
    """Leaves all generators as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


@contextmanager
def same_draws(net: Network, area: str) -> Iterator[None]:
    """Seeds the generators before every call of a stage of an area's cell by how many calls of it went before.

    So a stage that is called once a step draws the same numbers however the calls of all stages are ordered, and one
    that is called less often, or in stacks, draws others.
    """
    traits = net.traits()  # tries what is not declared: those calls do not count
    cell: Cell = net.areas[area].cell
    calls: Counter[str] = Counter()
    inside = False

    def counted(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal inside
            if inside:  # emit calls update
                return method(*args, **options)
            seed_all(1_000_003 * calls[stage] + sum(stage.encode()))
            calls[stage] += 1
            if (stage, area) in traits and not traits[stage, area].pure:  # torch draws in the order of memory
                args = mapped(torch.Tensor.contiguous, args)
                options = {name: mapped(torch.Tensor.contiguous, value) for name, value in options.items()}
            inside = True
            try:
                return method(*args, **options)
            finally:
                inside = False

        return call

    @contextmanager
    def counting_from(before: Counter[str]) -> Iterator[None]:
        nonlocal calls
        calls, after = before, calls
        try:
            yield
        finally:
            calls = after

    for name, stage in METHODS.items():
        cell.__dict__[name] = counted(stage, getattr(cell, name))
    try:
        with restoring(lambda: counting_from(calls.copy())):
            yield
    finally:
        for name in METHODS:
            del cell.__dict__[name]
