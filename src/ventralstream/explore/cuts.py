"""Networks with something cut: the same weights without recurrence, without feedback, or without one connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ventralstream.errors import VentralError, unknown
from ventralstream.network import Network
from ventralstream.spec import IMAGE, Connection, NetworkSpec
from ventralstream.timing import first_steps, remembers

RECURRENCE, FEEDBACK = "recurrence", "feedback"
NEVER = (2**31 - 2, None)  # the steps at which a connection that is cut arrives


def cuttable(spec: NetworkSpec) -> list[str]:
    """What can be cut of a network: "recurrence", "feedback", connections as "conv5-conv3", cells as "conv4"."""
    cells = [a.name for a in spec.areas if remembers(a)]
    wires = [wire(c) for c in spec.connections if c.source != IMAGE]
    recurs = bool(cells) or any(c.kind == "lateral" for c in spec.connections)
    groups = [RECURRENCE] * recurs + [FEEDBACK] * any(c.kind == "feedback" for c in spec.connections)
    return [*groups, *dict.fromkeys(wires), *cells]


def separable(spec: NetworkSpec) -> list[str]:
    """What of `cuttable` can be cut alone: without it the image still drives every area."""
    return [name for name in cuttable(spec) if _is_driven(_cut_wires(spec, _wires(spec, name)))]


def wire(connection: Connection) -> str:
    """What a connection is called when it is to be cut."""
    return f"{connection.source}-{connection.target}"


def cut(network: Network, what: Iterable[str]) -> Network:
    """A copy of a network in which something is cut; nothing is trained anew.

    A connection that is cut brings nothing: its target gets zeros in its place, or one input less where inputs are
    added. A cell that is cut begins at every step from the state in which it begins the first.

    Args:
        network: The network.
        what: Each "recurrence" (all cells and lateral connections), "feedback" (all feedback connections), a connection
            as "conv5-conv3", or the area of a cell.

    Raises:
        VentralError: for what the network does not have, or if an area would never be reached.
    """
    spec, wires, cells = network.spec, set[str](), set[str]()
    for name in what:
        if name not in cuttable(spec):
            missing = {RECURRENCE: "no cell and no lateral connection", FEEDBACK: "no feedback connection"}
            if name in missing:
                raise VentralError(f"'{spec.name}' has {missing[name]} to cut")
            raise unknown("part to cut", name, cuttable(spec), f" of '{spec.name}'")
        wires |= _wires(spec, name)
        if name == RECURRENCE:
            cells |= {a.name for a in spec.areas if remembers(a)}
        cells |= {a.name for a in spec.areas if a.name == name}
    try:
        result = Network(_cut_wires(spec, wires))
    except VentralError as error:
        raise VentralError(f"'{spec.name}' cannot be run without {' and '.join(sorted(wires))}: {error}") from None
    result.load_state_dict(network.state_dict())
    result.to(next(iter(network.parameters()))).train(network.training)
    for name in cells:
        forgetful(result.areas[name].cell)
    return result


def _wires(spec: NetworkSpec, name: str) -> set[str]:
    """The connections that a name cuts."""
    kinds = {FEEDBACK: "feedback", RECURRENCE: "lateral"}
    return {wire(c) for c in spec.connections if wire(c) == name or c.kind == kinds.get(name)}


def _cut_wires(spec: NetworkSpec, wires: set[str]) -> NetworkSpec:
    return spec.replace(
        connections=tuple(c.replace(arrives=NEVER) if wire(c) in wires else c for c in spec.connections)
    )


def _is_driven(spec: NetworkSpec) -> bool:
    try:
        return bool(first_steps(spec))
    except VentralError:
        return False


def is_cut(connection: Connection) -> bool:
    """Whether a connection was cut."""
    return connection.arrives == NEVER


def forgetful(cell: Any) -> None:
    """Makes a cell begin anew at every step: the planner gives the first step's state to what says that it forgets."""
    cell.forgets = _always


def is_forgetful(cell: Any) -> bool:
    """Whether `forgetful` was applied."""
    return "forgets" in vars(cell)


def _always() -> bool:
    return True
