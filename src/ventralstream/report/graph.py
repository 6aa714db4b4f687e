"""The drawing of a network's graph: areas in a row, what reads what as arrows; a file that stands by itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ventralstream.files import write_text
from ventralstream.models.registry import model_spec
from ventralstream.report.palette import LIGHT
from ventralstream.report.svg import element, text, tooltip
from ventralstream.spec import IMAGE, Connection, NetworkSpec

_BOX = (58.0, 30.0)
_APART = 74.0
_SIDE = 8.0
_MOST = 88.0  # px that the highest arc rises
_STYLE = """
rect.page { fill: %(card)s; }
rect.area { fill: %(page)s; stroke: %(muted)s; }
rect.recurs { fill: %(s1)s; stroke: %(s1)s; }
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: %(ink)s; }
text.recurs { fill: %(card)s; }
path { fill: none; stroke-width: 1.6; stroke: %(ink)s; }
path.skip { stroke: %(s3)s; }
path.again { stroke: %(s1)s; }
path.feedback { stroke: %(s2)s; stroke-dasharray: 5 3; }
marker path { stroke: none; }
"""


def graph(spec: NetworkSpec) -> str:
    """Draws the areas from left to right; skips above them, feedback below, recurrence as a loop.

    Args:
        spec: The network.

    Returns:
        An SVG with its own colours, those of a light page.
    """
    names = [IMAGE, *(a.name for a in spec.areas)]
    middle = {name: _SIDE + _BOX[0] / 2 + _APART * i for i, name in enumerate(names)}
    long = [c for c in spec.connections if _rise(c, names)]
    above = max((_rise(c, names) for c in long if c.kind != "feedback"), default=0.0)
    below = max((_rise(c, names) for c in long if c.kind == "feedback"), default=0.0)
    recurs = {a.name for a in spec.areas if a.cell is not None and a.cell.remembers and not _is_shut(spec, a.name)}
    recurs |= {c.source for c in spec.connections if c.source == c.target}
    above = max(above, 22.0 if recurs else 0.0)
    line = _SIDE + above + _BOX[1] / 2
    arrows = [_arrow(c, middle, line, _rise(c, names)) for c in spec.connections if c.source != c.target]
    arrows += [_loop(middle[name], line, name) for name in names if name in recurs]
    boxes = [_area(name, middle[name], line, name in recurs) for name in names]
    width, height = middle[names[-1]] + _BOX[0] / 2 + _SIDE, line + _BOX[1] / 2 + below + _SIDE
    page = element("rect", {"class": "page", "width": width, "height": height, "rx": 6})
    size = {"width": width, "height": height, "viewBox": f"0 0 {width:g} {height:g}"}
    file = {"xmlns": "http://www.w3.org/2000/svg", **size, "role": "img", "aria-label": f"The graph of {spec.name}."}
    return element("svg", file, f"<style>{_STYLE % LIGHT}</style>", *_heads(), page, *arrows, *boxes) + "\n"


def write_graphs(models: Iterable[str], folder: str | Path) -> list[Path]:
    """Writes the graphs of registered models as `NAME.svg`; gives the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.svg" for name in models]
    for file in files:
        write_text(file, graph(model_spec(file.stem)))
    return files


def _rise(connection: Connection, names: list[str]) -> float:
    """How far the arc of a connection leaves the row; 0 for a straight arrow."""
    apart = abs(names.index(connection.source) - names.index(connection.target))
    if apart == 0 or (connection.kind == "feedforward" and apart == 1):
        return 0.0
    return min(14.0 + 14.0 * apart, _MOST)


def _is_shut(spec: NetworkSpec, name: str) -> bool:
    """Whether an area is active for a single step, so that its state is never read."""
    area = spec.area(name)
    return area.stop is not None and area.stop - area.start <= 1


def _area(name: str, x: float, y: float, recurs: bool) -> str:
    if name == IMAGE:
        return text(x, y + 4, name, "middle", "")
    look = "recurs" if recurs else "area"
    box = {"x": x - _BOX[0] / 2, "y": y - _BOX[1] / 2, "width": _BOX[0], "height": _BOX[1], "rx": 5, "class": look}
    return element("rect", box) + text(x, y + 4, name, "middle", look)


def _arrow(connection: Connection, middle: dict[str, float], y: float, rise: float) -> str:
    start, stop = middle[connection.source], middle[connection.target]
    said = tooltip(f"{connection.kind}: {connection.source} to {connection.target}")
    if not rise:
        ends = (start + _BOX[0] / 2, stop - _BOX[0] / 2 - 2)
        return _path(f"M{ends[0]:g},{y:g}L{ends[1]:g},{y:g}", "feedforward", said)
    side = 1 if connection.kind == "feedback" else -1
    ahead = 9.0 if stop > start else -9.0  # an arc leaves an area ahead of the middle and arrives behind it
    edge = y + side * _BOX[1] / 2
    top = edge + side * rise * 1.3  # a curve's highest point is three quarters of the way to its handles
    curve = f"M{start + ahead:g},{edge:g}C{start + 2 * ahead:g},{top:g} {stop - 2 * ahead:g},{top:g} "
    return _path(f"{curve}{stop - ahead:g},{edge + 2 * side:g}", connection.kind, said)


def _loop(x: float, y: float, name: str) -> str:
    edge = y - _BOX[1] / 2
    curve = f"M{x + 7:g},{edge:g}C{x + 22:g},{edge - 26:g} {x - 22:g},{edge - 26:g} {x - 7:g},{edge - 2:g}"
    return _path(curve, "again", tooltip(f"{name} has a state"))


def _path(data: str, role: str, said: str) -> str:
    return element("path", {"d": data, "class": role, "marker-end": f"url(#{role})"}, said)


def _heads() -> list[str]:
    """An arrow's head for each kind of arrow."""
    colours = {"feedforward": "ink", "skip": "s3", "lateral": "s3", "again": "s1", "feedback": "s2"}
    shape = {"viewBox": "0 0 8 8", "refX": 7, "refY": 4, "markerWidth": 5, "markerHeight": 5, "orient": "auto"}
    filled = {role: {"d": "M0,0L8,4L0,8Z", "style": f"fill:{LIGHT[name]}"} for role, name in colours.items()}
    return [element("marker", {"id": role, **shape}, element("path", drawn)) for role, drawn in filled.items()]
