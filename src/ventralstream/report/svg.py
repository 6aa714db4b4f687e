"""The little SVG that figures need: elements, text, scales. Colours and fonts are CSS classes of `style`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Anchor = Literal["start", "middle", "end"]


def element(tag: str, attributes: Mapping[str, object], *children: str) -> str:
    """One element; attribute values are escaped and floats rounded, children are SVG already."""
    inside = "".join(f' {name}="{_value(value)}"' for name, value in attributes.items())
    return f"<{tag}{inside}>{''.join(children)}</{tag}>" if children else f"<{tag}{inside}/>"


def text(x: float, y: float, content: str, anchor: Anchor = "start", classes: str = "label") -> str:
    """A line of text whose baseline begins, is centred or ends at (x, y)."""
    attributes = {"x": x, "y": y, "text-anchor": anchor, "class": classes}
    return element("text", attributes, escape(content, quote=False))


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """A straight line."""
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": classes})


def path(points: Sequence[tuple[float, float]], classes: str, closed: bool = False) -> str:
    """A line through points, or the area inside them."""
    steps = "L".join(f"{_value(float(x))},{_value(float(y))}" for x, y in points)
    return element("path", {"d": f"M{steps}{'Z' if closed else ''}", "class": classes})


def tooltip(content: str) -> str:
    """What a browser shows when the pointer rests on the element that this is a child of."""
    return element("title", {}, escape(content, quote=False))


def marker(x: float, y: float, shape: int, classes: str, *children: str) -> str:
    """A marker of about 8 px; shapes 1, 2 and 3 are a circle, a square and a diamond."""
    if shape == 1:
        return element("circle", {"cx": x, "cy": y, "r": 3.8, "class": classes}, *children)
    half = 3.4
    box: dict[str, object] = {
        "x": x - half,
        "y": y - half,
        "width": 2 * half,
        "height": 2 * half,
        "class": classes,
    }
    if shape == 3:
        box["transform"] = f"rotate(45 {_value(float(x))} {_value(float(y))})"
    return element("rect", box, *children)


def drawing(width: float, height: float, description: str, *children: str) -> str:
    """A whole figure, at most `width` px wide; `description` is for screen readers."""
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {_value(float(width))} {_value(float(height))}",
        "style": f"max-width:{_value(float(width))}px",
        "role": "img",
        "aria-label": description,
    }
    return element("svg", attributes, *children)


@dataclass(frozen=True)
class Scale:
    """A linear scale: `low`..`high` of the data lie at `start`..`stop` px."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The position of a value in px."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers between `low` and `high`: 1, 2 or 5 times a power of ten apart."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    while True:
        for factor in (1, 2, 5):
            apart = step * factor
            first, last = math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9)
            if last - first < most:
                return [round(i * apart, 10) for i in range(first, last + 1)]
        step *= 10


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".") if value != int(value) else str(int(value))
    return escape(str(value))
