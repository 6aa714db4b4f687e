"""What the graph alone says about time: when the image first drives an area, and how short an unroll can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ventralstream import budget
from ventralstream.errors import VentralError
from ventralstream.presentation import Presentation
from ventralstream.readout import Readout
from ventralstream.spec import CONSTANT, IMAGE, Area, NetworkSpec

Driven = dict[str, list[bool]]  # for each area and step, whether its output depends on the image


def driven_steps(spec: NetworkSpec, steps: int, presentation: Presentation = CONSTANT) -> Driven:
    """For each area and step, whether its output depends on an image shown as the presentation says."""
    return next(itertools.islice(_driven(spec, presentation), steps - 1, None))


def remembers(area: Area) -> bool:
    """Whether the area's own past matters to it."""
    return area.cell is not None and area.cell.remembers


def first_steps(spec: NetworkSpec) -> dict[str, int]:
    """The first step at which the image drives each area's output (the image being on from step 0).

    Raises:
        VentralError: if it never does, because of the windows, or not within the steps that one unroll may have.
    """
    first: dict[str, int] = {}
    for step, driven in zip(range(_horizon(spec)), _driven(spec, CONSTANT), strict=False):
        first |= {name: step for name, past in driven.items() if name not in first and past[step]}
        if len(first) == len(spec.areas):
            return {a.name: first[a.name] for a in spec.areas}
    name = next(a.name for a in spec.areas if a.name not in first)
    raise VentralError(f"the image never drives area '{name}': its window is over, or opens to nothing")


def check_driven(
    spec: NetworkSpec, steps: int, presentation: Presentation | None = None, readout: Readout | None = None
) -> None:
    """Refuses to learn or measure what cannot depend on the image.

    Args:
        spec: The network.
        steps: Steps of the unroll.
        presentation: What is shown when; the spec's by default.
        readout: What is read of the logits; None is every step's.

    Raises:
        VentralError: the presentation never shows the image, or the image never reaches the logits that are read.
    """
    presentation = presentation or spec.presentation
    if not presentation.shows_image:
        raise VentralError("the presentation never shows the image")
    longest = max(steps, min(presentation.onset + _horizon(spec), budget.STEPS))
    past = driven_steps(spec, longest, presentation)[spec.readout_area]
    if True not in past:
        raise VentralError(f"with this presentation the image never drives the logits of '{spec.name}'")
    first = past.index(True)
    if steps <= first:
        raise VentralError(
            f"{steps} steps are too few for '{spec.name}': the image reaches the logits at step {first},"
            f" so {first + 1} are needed"
        )
    read = readout.steps(first, steps) if readout is not None else range(steps)
    if not any(past[t] for t in read):
        raise VentralError(
            f"with this presentation the logits of '{spec.name}' that are read out, from step {read.start} on, no"
            " longer depend on the image"
        )


def _driven(spec: NetworkSpec, presentation: Presentation) -> Iterator[Driven]:
    """What the steps so far depend on, after each further one."""
    order = [(spec.area(name), spec.inputs(name)) for name in spec.order()]
    driven: Driven = {a.name: [] for a in spec.areas}
    shown: list[bool] = []
    for step in itertools.count():
        shown.append(presentation.frame(step).shows in ("image", "movie"))
        for area, inputs in order:
            past = driven[area.name]
            local = step > area.start and past[step - 1]
            if not area.active(step):
                past.append(area.exists(step) and local)
                continue
            past.append(
                (remembers(area) and local)
                or any(
                    step >= c.delay and (shown if c.source == IMAGE else driven[c.source])[step - c.delay]
                    for _, c in inputs
                    if c.arrives_at(step - area.start)
                )
            )
        yield driven


def _horizon(spec: NetworkSpec) -> int:
    """Steps after the image's onset within which it drives every area, if it ever does."""
    steps = 1 + sum(max(c.delay, 1) + c.arrives[0] for c in spec.connections) + sum(a.start for a in spec.areas)
    return min(steps, budget.STEPS)


def minimal_steps(spec: NetworkSpec) -> int:
    """The smallest number of steps at which every recurrent path has worked at least once on the image.

    That is the minimal unroll of Nayebi et al. 2018 (docs/papers.md A.1), "every parameter is used at least once", read
    so (our choice, which gives the 12 steps of their 11-area network without feedback): every cell has updated a state
    that the image drove, and every feedback and lateral connection has carried a signal that the image drove, in time
    for the last step's logits.
    """
    driven = driven_steps(spec, 200)
    for steps in range(1, 200):
        if _all_paths_used(spec, driven, steps):
            return steps
    raise VentralError(f"no unroll of up to 200 steps uses every recurrent path of '{spec.name}'")


def _all_paths_used(spec: NetworkSpec, driven: Driven, steps: int) -> bool:
    if not spec.area(spec.readout_area).exists(steps - 1) or not driven[spec.readout_area][steps - 1]:
        return False
    matters = {(spec.readout_area, steps - 1)}  # outputs that reach the last logits
    cells, paths = set(), set()
    order = [spec.area(name) for name in reversed(spec.order())]
    for step in reversed(range(steps)):
        for area in order:
            name = area.name
            if (name, step) not in matters:
                continue
            if not area.active(step):
                matters.add((name, step - 1))
                continue
            if remembers(area) and step > area.start:
                matters.add((name, step - 1))
                if driven[name][step - 1]:
                    cells.add(name)
            for i, c in spec.inputs(name):
                sent = step - c.delay
                if c.source == IMAGE or sent < 0 or not c.arrives_at(step - area.start):
                    continue
                matters.add((c.source, sent))
                if driven[c.source][sent]:
                    paths.add(i)
    recurrent = {i for i, c in enumerate(spec.connections) if c.kind in ("feedback", "lateral")}
    return recurrent <= paths and {a.name for a in spec.areas if remembers(a)} <= cells
