"""What the graph alone says about time: when the image first drives an area, and how short an unroll can be."""

from __future__ import annotations

from ventralstream.errors import VentralError
from ventralstream.spec import IMAGE, Area, NetworkSpec


def driven_steps(spec: NetworkSpec, steps: int) -> dict[str, list[bool]]:
    """For each area and step, whether its output depends on an image shown throughout."""
    driven = {a.name: [False] * steps for a in spec.areas}
    for step in range(steps):
        for name in spec.order():
            area = spec.area(name)
            if not area.active(step):
                driven[name][step] = area.exists(step) and step > 0 and driven[name][step - 1]
                continue
            local = remembers(area) and step > area.start and driven[name][step - 1]
            driven[name][step] = local or any(
                step >= c.delay and (c.source == IMAGE or driven[c.source][step - c.delay])
                for _, c in spec.inputs(name)
                if c.arrives_at(step - area.start)
            )
    return driven


def remembers(area: Area) -> bool:
    """Whether the area's own past matters to it."""
    return area.cell is not None and area.cell.remembers


def first_steps(spec: NetworkSpec) -> dict[str, int]:
    """The first step at which the image drives each area's output (the image being on from step 0).

    Raises:
        VentralError: if it never does, because of the windows.
    """
    horizon = (
        1
        + sum(max(c.delay, 1) for c in spec.connections)
        + sum(a.start for a in spec.areas)
        + sum(c.arrives[0] for c in spec.connections)
    )
    driven = driven_steps(spec, horizon)
    for name, steps in driven.items():
        if True not in steps:
            raise VentralError(f"the image never drives area '{name}': its window is over, or opens to nothing")
    return {name: steps.index(True) for name, steps in driven.items()}


def minimal_steps(spec: NetworkSpec) -> int:
    """The smallest number of steps at which every recurrent path has worked at least once on the image.

    That is paper A's minimal unroll, "every parameter is used at least once", read so (our choice, which gives the 12
    steps of its 11-area network without feedback): every cell has updated a state that the image drove, and every
    feedback and lateral connection has carried a signal that the image drove, in time for the last step's logits.
    """
    driven = driven_steps(spec, 200)
    for steps in range(1, 200):
        if _all_paths_used(spec, driven, steps):
            return steps
    raise VentralError(f"no unroll of up to 200 steps uses every recurrent path of '{spec.name}'")


def _all_paths_used(spec: NetworkSpec, driven: dict[str, list[bool]], steps: int) -> bool:
    if not spec.area(spec.readout_area).exists(steps - 1) or not driven[spec.readout_area][steps - 1]:
        return False
    matters = {(spec.readout_area, steps - 1)}  # outputs that reach the last logits
    cells, paths = set(), set()
    for step in reversed(range(steps)):
        for name in reversed(spec.order()):
            area = spec.area(name)
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
