"""The graph of a network in time: where each area stands, when it is driven, what each connection carries."""

from __future__ import annotations

from typing import Any

from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.program import Program, Request
from ventralstream.spec import IMAGE, Connection, NetworkSpec

NOTHING, BACKGROUND, STIMULUS = 0, 1, 2  # what a connection carries at a step


def all_outputs(network: Network, steps: int, presentation: Presentation) -> Program:
    """The program that gives every area's output at every step."""
    wanted = frozenset((a.name, t) for a in network.spec.areas for t in range(steps) if a.exists(t))
    return network.plan(Request(0, steps, presentation, wanted))


def area_times(program: Program, name: str, steps: int) -> dict[str, list[int]]:
    """What becomes of an area's output at each step.

    Returns:
        "exists", "driven" (it depends on what is shown) and "same" (it is the value of the step before): 0 or 1 a step.
    """
    values = [program.outputs.get((name, t)) for t in range(steps)]
    return {
        "exists": [int(v is not None) for v in values],
        "driven": [int(v is not None and program.values[v].stimulus) for v in values],
        "same": [int(t > 0 and v is not None and v == values[t - 1]) for t, v in enumerate(values)],
    }


def carried(program: Program, spec: NetworkSpec, connection: Connection, steps: int) -> list[int]:
    """What arrives through a connection at each step: nothing, something that depends on no stimulus, or a signal."""
    area = spec.area(connection.target)
    found = []
    for step in range(steps):
        sent = step - connection.delay
        if not area.active(step) or not connection.arrives_at(step - area.start):
            found.append(NOTHING)
        elif connection.source == IMAGE:
            shown = sent >= 0 and program.request.presentation.frame(sent).is_stimulus
            found.append(STIMULUS if shown else BACKGROUND)
        else:
            value = program.outputs.get((connection.source, sent))
            before = BACKGROUND if spec.before_start == "zeros" else NOTHING
            found.append(before if value is None else STIMULUS if program.values[value].stimulus else BACKGROUND)
    return found


def places(spec: NetworkSpec) -> dict[str, tuple[int, int]]:
    """Where to draw each area, as (rank, lane): the rank is the longest way from the image that goes forward only.

    A way that comes back to itself without a connection that is called feedback or lateral is cut at an area that
    stands earlier in the spec.
    """
    order = {IMAGE: -1} | {a.name: i for i, a in enumerate(spec.areas)}
    ranks = {IMAGE: 0} | {a.name: 1 for a in spec.areas}
    forward = [c for c in spec.connections if c.kind in ("feedforward", "skip") and order[c.source] < order[c.target]]
    for c in sorted(forward, key=lambda c: order[c.target]):
        ranks[c.target] = max(ranks[c.target], ranks[c.source] + 1)
    found: dict[str, tuple[int, int]] = {}
    for name, rank in ranks.items():
        found[name] = (rank, sum(r == rank for r, _ in found.values()))
    return found


def connections(program: Program, spec: NetworkSpec, steps: int) -> list[dict[str, Any]]:
    """All connections, with what they carry at each step."""
    return [
        {
            "source": c.source,
            "target": c.target,
            "kind": c.kind,
            "delay": c.delay,
            "carries": carried(program, spec, c, steps),
        }
        for c in spec.connections
    ]
