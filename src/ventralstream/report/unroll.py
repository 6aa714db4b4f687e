"""The drawing of an unroll: areas by steps, what the planner makes of each, and what reads what."""

from __future__ import annotations

from collections.abc import Mapping

from ventralstream.program import Fate
from ventralstream.report.svg import drawing, element, path, text, tooltip
from ventralstream.spec import IMAGE, NetworkSpec

MEANING: dict[Fate, str] = {
    "computed": "computed for each image",
    "batch-free": "computed once for all images",
    "reused": "the same as before: reused",
    "skipped": "reaches no answer: skipped",
    "inactive": "not active",
}
_MARK: dict[Fate, str] = {"computed": "", "batch-free": "1", "reused": "=", "skipped": "", "inactive": ""}
_BOX = (30.0, 22.0)
_APART = (46.0, 44.0)
_LEFT, _TOP = 70.0, 12.0


def unroll(spec: NetworkSpec, fates: Mapping[tuple[str, int], Fate]) -> str:
    """Draws an unrolled network, the image below and time to the right.

    Args:
        spec: The network.
        fates: What became of each (area, step): `Program.fates`.
    """
    names = [a.name for a in spec.areas]
    steps = sorted({step for _, step in fates})
    rows = {name: len(names) - 1 - i for i, name in enumerate(names)} | {IMAGE: len(names)}

    def at(name: str, step: int) -> tuple[float, float]:
        return _LEFT + _APART[0] * (step - steps[0] + 0.5), _TOP + _APART[1] * (rows[name] + 0.5)

    def works(name: str, step: int) -> bool:
        return name == IMAGE or fates.get((name, step)) in ("computed", "batch-free", "reused")

    wires, boxes = [], []
    for name in names:
        for step in steps:
            if fates[name, step] not in ("computed", "batch-free"):
                continue
            if spec.area(name).cell is not None and works(name, step - 1):
                wires.append(_wire(at(name, step - 1), at(name, step), "wire again"))
            for _, c in spec.inputs(name):
                sent = step - c.delay
                if sent >= steps[0] and works(c.source, sent):
                    role = "wire back" if c.kind in ("feedback", "lateral") else "wire"
                    wires.append(_wire(at(c.source, sent), at(name, step), role))
    for name in names:
        x, y = at(name, steps[0])
        boxes.append(text(_LEFT - 12, y + 4, name, "end", "strong"))
        boxes += [_node(at(name, step), fates[name, step], f"{name}, step {step}") for step in steps]
    floor = _TOP + _APART[1] * rows[IMAGE]
    boxes.append(text(_LEFT - 12, at(IMAGE, steps[0])[1] + 4, IMAGE, "end"))
    for step in steps:
        x, y = at(IMAGE, step)
        boxes.append(element("circle", {"cx": x, "cy": y, "r": 3, "class": "skipped"}))
        boxes.append(text(x, floor + _APART[1] + 12, f"{step * spec.dt_ms:g}", "middle"))
    boxes.append(text(at(IMAGE, steps[0])[0] - 23, floor + _APART[1] + 30, "time since image onset (ms)"))
    width = _LEFT + _APART[0] * len(steps)
    return drawing(width, floor + _APART[1] + 36, f"The unrolled graph of {spec.name}, areas by steps.", *wires, *boxes)


def fate_swatch(fate: Fate) -> str:
    """The box of a fate, for a legend."""
    return drawing(34, 24, "", _node((17, 12), fate, MEANING[fate]))


def _node(centre: tuple[float, float], fate: Fate, name: str) -> str:
    x, y = centre
    if fate == "inactive":
        return ""
    said = tooltip(f"{name}: {MEANING[fate]}")
    if fate == "skipped":
        return element("circle", {"cx": x, "cy": y, "r": 3, "class": "skipped"}, said)
    box = {
        "x": x - _BOX[0] / 2,
        "y": y - _BOX[1] / 2,
        "width": _BOX[0],
        "height": _BOX[1],
        "rx": 5,
        "class": fate,
    }
    return element("rect", box, said) + text(x, y + 4, _MARK[fate], "middle", f"on-{fate}")


def _wire(start: tuple[float, float], stop: tuple[float, float], classes: str) -> str:
    """A straight line; boxes are drawn over its ends."""
    return path([start, stop], classes)
