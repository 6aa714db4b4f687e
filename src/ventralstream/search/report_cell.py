"""The drawing of a local cell as a graph, after the search graph of Nayebi et al. 2018: which edges it has, and how."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ventralstream.cells import Reciprocal
from ventralstream.layers.specs import Conv
from ventralstream.report.svg import Anchor, drawing, element, text, tooltip
from ventralstream.spec import Area, CellSpec, NetworkSpec

Node = Literal["below", "input", "cell", "output", "above"]
Kind = Literal["adds", "gates", "keeps"]
WIDTH, HEIGHT = 400.0, 400.0


@dataclass(frozen=True)
class Edge:
    """An edge of a cell's graph.

    Attributes:
        source: Where it begins: the output of the area below ("below"), what the area's convolution makes of it
            ("input"), the hidden state ("cell"), the "output", or the areas above that send feedback ("above").
        target: Where it ends.
        kind: Whether it "adds" to the target, "gates" (multiplies) what enters it, or is the factor on its own past
            that it "keeps".
        label: Its convolution, in a few letters.
    """

    source: Node
    target: Node
    kind: Kind
    label: str = ""


def cell_edges(area: Area, feedback: bool) -> list[Edge]:
    """The edges of an area's graph.

    Args:
        area: The area.
        feedback: Whether other areas send it feedback.
    """
    drive = next((_conv(layer.kernel, layer.separable) for layer in area.drive if isinstance(layer, Conv)), "")
    edges = [Edge("below", "input", "adds", drive)]
    cell = area.cell
    if not isinstance(cell, Reciprocal):
        edges.append(Edge("input", "output", "adds"))
        if cell is not None and cell.remembers:
            edges.append(Edge("output", "output", "keeps", cell.tag))
        return edges + ([Edge("above", "input", "adds")] if feedback else [])
    tau, gate = _conv(cell.tau_kernel, cell.tau_separable), _conv(cell.gate_kernel, cell.gate_separable)
    inner, to_out = (_conv(k, cell.input_separable) for k in (cell.input_kernel, cell.to_out_kernel))
    edges += [
        Edge("input", "output", "adds", to_out if cell.input_to_out else ""),
        Edge("output", "output", "keeps", tau),
        Edge("cell", "cell", "keeps", tau),
        Edge("output", "cell", "gates", gate),
        Edge("cell", "output", "adds", to_out) if cell.cell_to_out else Edge("cell", "output", "gates", gate),
    ]
    optional = (
        (cell.input_to_cell, Edge("input", "cell", "adds", inner)),
        (cell.cell_residual, Edge("below", "cell", "adds", inner)),
        (cell.out_residual, Edge("below", "output", "adds")),
        (cell.residual_to_out_gate, Edge("below", "output", "gates", gate)),
        (
            feedback,
            Edge("above", _ENTRY[cell.feedback_to], "adds", _conv(cell.feedback_kernel, cell.feedback_separable)),
        ),
    )
    return edges + [edge for there, edge in optional if there]


def draw_cell(area: Area, feedback: bool) -> str:
    """Draws an area's cell: full lines add, dashed ones multiply the sum of what enters where they end.

    Args:
        area: The area.
        feedback: Whether other areas send it feedback.
    """
    edges = cell_edges(area, feedback)
    there = {node for e in edges for node in (e.source, e.target)}
    gated = {e.target for e in edges if e.kind == "gates"}
    entering = [e.target for e in edges if e.kind != "keeps"]
    joined = [node for node in _JOIN if node in gated or entering.count(node) > 1]
    wires = [element("path", {"d": _line(e, joined), "class": f"edge {e.kind}"}, tooltip(_said(e))) for e in edges]
    wires += [_arrow(*_end(e, joined), *_way(e)[1], f"edge {e.kind}") for e in edges]
    wires += [_up(_JOIN[node][0], _JOIN[node][1] - _RADIUS, _PLACE[node][1] + _HALF[1]) for node in joined]
    wires.append(_up(130, 72, 44))
    parts = [_box(node, _beside(node, area.cell)) for node in _PLACE if node in there]
    parts += [_join(node, node in gated) for node in joined]
    parts += [_label(e) for e in edges if e.label]
    said = described(area, feedback)
    return drawing(WIDTH, HEIGHT, f"The cell of {area.name}: {said}.", *wires, *parts)


def described(area: Area, feedback: bool) -> str:
    """The edges of an area's graph in words."""
    return "; ".join(map(_said, cell_edges(area, feedback)))


def cells_of(spec: NetworkSpec) -> list[tuple[tuple[str, ...], Area, bool]]:
    """The different cells of a network: the areas that have one, one of these, and whether it is sent feedback."""
    receives = {c.target for c in spec.connections if c.kind == "feedback"}
    found: dict[CellSpec, list[Area]] = {}
    for area in spec.areas:
        if area.cell is not None and area.cell.remembers:
            found.setdefault(area.cell, []).append(area)
    cells = []
    for areas in found.values():
        shown = next((a for a in areas if a.name in receives), areas[0])
        cells.append((tuple(a.name for a in areas), shown, shown.name in receives))
    return sorted(cells, key=lambda c: not isinstance(c[1].cell, Reciprocal))


def edge_swatch(kind: Kind) -> str:
    """How an edge is drawn, for a legend."""
    line = element("path", {"d": "M2,8H26", "class": f"edge {kind}"})
    return drawing(34, 16, "", line, _arrow(30, 8, 1, 0, f"edge {kind}"))


_ENTRY: dict[str, Node] = {"input": "input", "cell": "cell", "out": "output"}
_NAME: dict[Node, str] = {
    "below": "area below",
    "input": "input",
    "cell": "cell",
    "output": "output",
    "above": "areas above",
}
_PLACE: dict[Node, tuple[float, float]] = {
    "below": (130.0, 376.0),
    "input": (130.0, 290.0),
    "cell": (285.0, 176.0),
    "output": (130.0, 92.0),
    "above": (285.0, 34.0),
}
_JOIN: dict[Node, tuple[float, float]] = {"output": (130.0, 176.0), "cell": (285.0, 250.0)}  # where what enters meets
_HALF = (46.0, 20.0)  # of a node's box
_RADIUS = 10.0  # of a gate's circle
# the way of each edge: its beginning and bends, and the direction in which it arrives; then its label's place
_WAYS: dict[tuple[Node, Node, Kind], tuple[str, tuple[float, float], tuple[float, float]]] = {
    ("below", "input", "adds"): ("M130,356", (0, -1), (134, 338)),
    ("input", "output", "adds"): ("M130,270", (0, -1), (134, 240)),
    ("input", "cell", "adds"): ("M176,290C230,290 285,300", (0, -1), (206, 284)),
    ("below", "cell", "adds"): ("M176,376C330,376 340,320", (-0.8, -1), (262, 356)),
    ("below", "output", "adds"): ("M84,370C20,350 20,196", (1, -0.15), (22, 300)),
    ("below", "output", "gates"): ("M92,356C52,330 48,214", (0.8, -0.6), (30, 262)),
    ("cell", "output", "adds"): ("M239,176C220,176 200,176", (-1, 0), (156, 188)),
    ("cell", "output", "gates"): ("M239,176C220,176 200,176", (-1, 0), (156, 188)),
    ("output", "cell", "gates"): ("M176,104C226,116 196,250", (1, 0), (206, 222)),
    ("output", "output", "keeps"): ("M84,100C30,124 30,60", (1, 0.35), (12, 66)),
    ("cell", "cell", "keeps"): ("M262,156C250,118 320,118", (-0.3, 1), (262, 122)),
    ("above", "output", "adds"): ("M239,42C200,50 190,140", (-0.8, 0.5), (196, 122)),
    ("above", "cell", "adds"): ("M331,34C410,70 390,250", (-1, 0), (352, 112)),
    ("above", "input", "adds"): ("M239,28C-60,-10 -30,290", (1, 0), (6, 190)),
}
_LOOPS: dict[Node, tuple[float, float]] = {"cell": (308.0, 156.0), "output": (84.0, 84.0)}


def _end(edge: Edge, joined: Collection[Node]) -> tuple[float, float]:
    """The tip of an edge's arrow: at a loop's end, where what enters the target meets, or at the target's box."""
    dx, dy = _way(edge)[1]
    if edge.kind == "keeps":
        return _LOOPS[edge.target]
    if edge.target in joined:
        x, y = _JOIN[edge.target]
        length = (dx**2 + dy**2) ** 0.5
        return x - _RADIUS * dx / length, y - _RADIUS * dy / length
    x, y = _PLACE[edge.target]
    return (x - _HALF[0], y) if dx > abs(dy) else (x, y + _HALF[1])


def _way(edge: Edge) -> tuple[str, tuple[float, float], tuple[float, float]]:
    return _WAYS[edge.source, edge.target, edge.kind]


def _line(edge: Edge, joined: Collection[Node]) -> str:
    (x, y), (begin, (dx, dy), _) = _end(edge, joined), _way(edge)
    length = (dx**2 + dy**2) ** 0.5
    end = f"{x - 7 * dx / length:.1f},{y - 7 * dy / length:.1f}"  # the arrow's head covers the rest
    return f"{begin} {end}" if "C" in begin else f"{begin}L{end}"


def _up(x: float, start: float, stop: float) -> str:
    return element("path", {"d": f"M{x:g},{start:g}V{stop + 7:g}", "class": "edge"}) + _arrow(x, stop, 0, -1, "edge")


def _arrow(x: float, y: float, dx: float, dy: float, classes: str) -> str:
    """A head whose tip is at (x, y) and which points along (dx, dy)."""
    length = (dx**2 + dy**2) ** 0.5
    dx, dy = dx / length, dy / length
    back = (x - 8 * dx, y - 8 * dy)
    one, other = (back[0] - 4 * dy, back[1] + 4 * dx), (back[0] + 4 * dy, back[1] - 4 * dx)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), one, other))
    return element("polygon", {"points": points, "class": f"{classes} head"})


def _box(node: Node, beside: str) -> str:
    x, y = _PLACE[node]
    role = "node own" if node in ("cell", "output") else "node"
    box = {"x": x - _HALF[0], "y": y - _HALF[1], "width": 2 * _HALF[0], "height": 2 * _HALF[1], "rx": 8, "class": role}
    name = text(x, y + (-1 if beside else 4), _NAME[node], "middle", "strong")
    return element("rect", box) + name + (text(x, y + 12, beside, "middle", "tiny") if beside else "")


def _join(node: Node, gated: bool) -> str:
    """Where what enters a node is summed, and multiplied if there is a gate."""
    x, y = _JOIN[node]
    circle = element("circle", {"cx": x, "cy": y, "r": _RADIUS, "class": "node gate" if gated else "node"})
    return circle + text(x, y + 4.5, "\N{MULTIPLICATION SIGN}" if gated else "+", "middle", "strong")


def _label(edge: Edge) -> str:
    x, y = _way(edge)[2]
    anchor: Anchor = "end" if (edge.source, edge.target) == ("output", "cell") else "start"
    return text(x, y, edge.label, anchor, "tiny halo")


def _beside(node: Node, cell: CellSpec | None) -> str:
    """What stands in a node below its name: its non-linearity."""
    if not isinstance(cell, Reciprocal):
        return ""
    activations: dict[Node, str] = {
        "input": cell.input_activation,
        "cell": cell.cell_activation,
        "output": cell.out_activation,
        "above": cell.feedback_activation,
    }
    said = activations.get(node, "identity")
    norm = ["norm"] if cell.layer_norm and node in ("cell", "output") else []
    return ", ".join([*norm, *([] if said == "identity" else [said])])


def _conv(kernel: int, separable: bool) -> str:
    return f"{kernel}\N{MULTIPLICATION SIGN}{kernel}{' sep.' if separable else ''}"


def _said(edge: Edge) -> str:
    by = f" ({edge.label})" if edge.label else ""
    if edge.kind == "keeps":
        return f"{_NAME[edge.source]} keeps some of its past{by}"
    be = "are" if edge.source == "above" else "is"
    return f"{_NAME[edge.source]} {'gates' if edge.kind == 'gates' else f'{be} added to'} the {_NAME[edge.target]}{by}"


def factors(cell: Reciprocal) -> Sequence[tuple[str, str]]:
    """The factors of a cell in words, for a list below its drawing."""
    return (
        ("on its past", _factor(cell.tau_offset, cell.tau_multiplier, cell.tau_activation)),
        ("gates", _factor(cell.gate_offset, cell.gate_multiplier, cell.gate_activation)),
    )


def _factor(offset: float, multiplier: float, activation: str) -> str:
    sign = "+" if multiplier >= 0 else "\N{MINUS SIGN}"
    return f"{offset:.3g} {sign} {abs(multiplier):.3g} {activation}(convolution)"
