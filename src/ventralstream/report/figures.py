"""Figures from plain arrays and times, as SVG text to be put into a page (`ventralstream.report.page`).

Accuracies, probabilities and differences are fractions (0 to 1) here, and percent in the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ventralstream.errors import VentralError
from ventralstream.report.svg import Scale, drawing, element, line, marker, path, text, ticks, tooltip

Style = Literal[1, 2, 3]  # colour and marker
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Curve:
    """Something over time.

    Attributes:
        name: What the legend calls it.
        style: Its colour and marker.
        times_ms: Times in milliseconds.
        values: A fraction for each of them.
        low, high: The ends of their confidence intervals; none drawn if empty.
        holds: Whether the last value stays for ever: it is continued by a dotted line.
    """

    name: str
    style: Style
    times_ms: Sequence[float]
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    holds: bool = False


def curves(
    series: Sequence[Curve],
    times_ms: tuple[float, float],
    span: tuple[float, float],
    y_label: str = "correct answers (%)",
    width: float = 450,
    height: float = 240,
) -> str:
    """Curves over time, with their confidence intervals as bands (as whiskers where there is but one time).

    Args:
        series: The curves.
        times_ms: The first and the last time of the horizontal axis.
        span: The lowest and the highest value of the vertical axis, as fractions.
        y_label: What the vertical axis shows.
        width, height: Of the figure in px.
    """
    left, right, top, bottom = 38.0, 8.0, 26.0, 40.0
    margin = 0.04 * (times_ms[1] - times_ms[0])
    x = Scale(times_ms[0] - margin, times_ms[1] + margin, left, width - right)
    y = Scale(100 * span[0], 100 * span[1], height - bottom, top)
    parts = [text(0, 12, y_label)]
    for tick in ticks(y.low, y.high, 5):
        parts += [
            line(left, y(tick), width - right, y(tick), "grid"),
            _tick(left - 6, y(tick) + 4, tick, "end"),
        ]
    parts += _time_axis(x, height - bottom, sorted({t for s in series for t in s.times_ms}))
    for s in series:
        points = [(x(t), y(100 * v)) for t, v in zip(s.times_ms, s.values, strict=True)]
        bounds = [(y(100 * lo), y(100 * hi)) for lo, hi in zip(s.low, s.high, strict=True)]
        if len(points) > 1 and bounds:
            edge = [(px, hi) for (px, _), (_, hi) in zip(points, bounds, strict=True)]
            edge += [(px, lo) for (px, _), (lo, _) in reversed(list(zip(points, bounds, strict=True)))]
            parts.append(path(edge, f"band s{s.style}", closed=True))
        elif bounds:
            parts.append(line(points[0][0], bounds[0][0], points[0][0], bounds[0][1], f"whisker s{s.style}"))
        if s.holds and s.times_ms[-1] < times_ms[1]:
            parts.append(line(*points[-1], width - right, points[-1][1], f"dash s{s.style}"))
        if len(points) > 1:
            parts.append(path(points, f"curve s{s.style}"))
    for s in series:  # after the lines, so that no line crosses a marker
        for t, v in zip(s.times_ms, s.values, strict=True):
            said = tooltip(f"{s.name}, {t:g} ms: {100 * v:.1f} %")
            parts.append(marker(x(t), y(100 * v), s.style, f"dot s{s.style}", said))
    ends = "; ".join(f"{s.name} ends at {100 * s.values[-1]:.1f} %" for s in series)
    return drawing(width, height, f"{y_label} over time: {ends}.", *parts)


def swatch(style: Style) -> str:
    """The line and marker of a style, for a legend."""
    return drawing(34, 16, "", line(1, 8, 33, 8, f"curve s{style}"), marker(17, 8, style, f"dot s{style}"))


def panels_span(values: Sequence[ArrayLike], step: float = 0.05) -> list[tuple[float, float]]:
    """Vertical ranges of several panels that share their scale but not where they begin.

    Args:
        values: What each panel has to show (curves and intervals together), fractions.
        step: Ranges begin at multiples of this.

    Returns:
        The (lowest, highest) value of each panel; all are equally far apart.
    """
    low = [np.floor(np.min(v) / step + 1e-9) * step for v in values]
    high = max(np.ceil((np.max(v) - lo) / step - 1e-9) * step for v, lo in zip(values, low, strict=True))
    height = max(float(high), step)
    starts = [min(float(lo), 1.0 - height) if height < 1 else 0.0 for lo in low]
    return [(start, start + height) for start in starts]


@dataclass(frozen=True)
class Difference:
    """A difference between two fractions.

    Attributes:
        name: What the row is called.
        value, low, high: The difference and its confidence interval, as fractions.
        strong: Whether this is the row that counts.
    """

    name: str
    value: float
    low: float
    high: float
    strong: bool = False


def differences(
    rows: Sequence[Difference],
    reach: float,
    style: Style,
    sides: tuple[str, str],
    width: float = 440,
) -> str:
    """Differences with their confidence intervals around zero, one below the other.

    Args:
        rows: The differences.
        reach: The axis goes from -reach to reach, a fraction.
        style: Colour and marker.
        sides: What a difference to the left and to the right of zero says.
        width: Of the figure in px.
    """
    left, right, top, apart, bottom = 112.0, 76.0, 24.0, 26.0, 40.0
    height = top + apart * len(rows) + bottom
    x = Scale(-100 * reach, 100 * reach, left, width - right)
    floor = height - bottom + 2
    parts = []
    for tick in ticks(x.low, x.high, 5):
        parts.append(line(x(tick), top - 4, x(tick), floor, "zero" if tick == 0 else "grid"))
        parts.append(_tick(x(tick), floor + 15, tick, "middle", signed=True))
    parts.append(text(x(0), floor + 32, "difference (percentage points)", "middle"))
    parts += [
        text(x(0) - 8, 12, f"\N{LEFTWARDS ARROW} {sides[0]}", "end"),
        text(x(0) + 8, 12, f"{sides[1]} \N{RIGHTWARDS ARROW}"),
    ]
    for i, row in enumerate(rows):
        middle = top + apart * (i + 0.5)
        role = "strong" if row.strong else "label"
        ends = x(100 * max(row.low, -reach)), x(100 * min(row.high, reach))
        parts += [
            text(0, middle + 4, row.name, classes=role),
            line(ends[0], middle, ends[1], middle, f"whisker s{style}"),
            marker(x(100 * row.value), middle, style, f"dot s{style}"),
            text(width, middle + 4, f"{100 * row.value:+.1f}".replace("-", MINUS), "end", role),
        ]
    said = "; ".join(f"{r.name} {100 * r.value:+.1f} ({100 * r.low:+.1f} to {100 * r.high:+.1f})" for r in rows)
    return drawing(width, height, f"Differences in percentage points: {said}.", *parts)


def probabilities(
    times_ms: Sequence[float],
    values: ArrayLike,
    truth: int,
    classes: Sequence[str],
    width: float = 270,
    height: float = 170,
) -> str:
    """What a network thinks of one image over time: each class's probability, and above its answers.

    Args:
        times_ms: T times in milliseconds.
        values: [T, K] probabilities.
        truth: The right class; drawn with its strongest rival, all others in grey.
        classes: K short names.
        width, height: Of the figure in px.
    """
    p = np.asarray(values, dtype=float)
    if p.shape != (len(times_ms), len(classes)):
        raise VentralError(f"probabilities have shape {p.shape}; expected {(len(times_ms), len(classes))}")
    left, right, top, bottom = 40.0, 18.0, 30.0, 40.0
    x = Scale(times_ms[0], times_ms[-1] + 1e-9, left + 9, width - right - 9)
    y = Scale(0, 100, height - bottom, top)
    parts = [
        part
        for tick in (0, 50, 100)
        for part in (
            line(left, y(tick), width - right, y(tick), "grid"),
            _tick(left - 6, y(tick) + 4, tick, "end", unit="%"),
        )
    ]
    parts += _time_axis(x, height - bottom, times_ms)
    rival = max((k for k in range(len(classes)) if k != truth), key=lambda k: float(p[:, k].max()))
    for k in [k for k in range(len(classes)) if k not in (truth, rival)] + [rival, truth]:
        role = "truth" if k == truth else "rival" if k == rival else "other"
        parts.append(path([(x(t), y(100 * v)) for t, v in zip(times_ms, p[:, k], strict=True)], role))
    ends = {k: y(100 * p[-1, k]) + 4 for k in (truth, rival)}
    if abs(ends[truth] - ends[rival]) < 12:  # keep the two labels apart
        upper, lower = sorted((truth, rival), key=lambda k: ends[k])
        middle = (ends[upper] + ends[lower]) / 2
        ends = {upper: middle - 6, lower: middle + 6}
    parts.append(text(width - right + 6, ends[truth], classes[truth], classes="truth"))
    parts.append(text(width - right + 6, ends[rival], classes[rival], classes="rival"))
    answers = p.argmax(1)
    for i, (t, answer) in enumerate(zip(times_ms, answers, strict=True)):
        verdict = "right" if answer == truth else "wrong"
        box = {"x": x(t) - 7.5, "y": 2, "width": 15, "height": 17, "rx": 3, "class": f"answer-{verdict}"}
        parts.append(element("rect", box, tooltip(f"{t:g} ms: {100 * p[i].max():.0f} %")))
        parts.append(text(x(t), 15, classes[answer], "middle", f"on-{verdict}"))
    said = ", ".join(classes[a] for a in answers)
    return drawing(width, height, f"The right answer is {classes[truth]}; the answers over time are {said}.", *parts)


def confusion(counts: ArrayLike, classes: Sequence[str], darkest: float, width: float = 380) -> str:
    """A confusion matrix: of each class (row), the percent of answers (columns).

    Args:
        counts: [K, K], rows are the right classes, columns the answers.
        classes: K short names.
        darkest: The share of wrong answers, a fraction of the row, that gets the full colour; the same in all
            matrices that are to be compared.
        width: Of the figure in px.
    """
    n = np.asarray(counts, dtype=float)
    if n.shape != (len(classes), len(classes)):
        raise VentralError(f"the confusion matrix has shape {n.shape}; expected {(len(classes), len(classes))}")
    share = n / np.maximum(n.sum(1, keepdims=True), 1)
    left, top = 40.0, 36.0
    side = (width - left) / len(classes)
    parts = [text(left + side * len(classes) / 2, 11, "answer", "middle")]
    parts.append(
        element("g", {"transform": f"translate(11 {top + side * len(classes) / 2:.1f}) rotate(-90)"},
                text(0, 0, "digit shown", "middle"))
    )  # fmt: skip
    for i, name in enumerate(classes):
        parts += [
            text(left + side * (i + 0.5), top - 7, name, "middle"),
            text(left - 8, top + side * (i + 0.5) + 4, name, "end"),
        ]
        for j, answer in enumerate(classes):
            right = i == j
            opacity = 0.32 * share[i, j] if right else min(share[i, j] / max(darkest, 1e-9), 1.0) * 0.85
            box = {"x": left + side * j, "y": top + side * i, "width": side, "height": side}
            if opacity > 0:
                shade = {
                    **box,
                    "class": "hit" if right else "error",
                    "fill-opacity": round(float(opacity), 3),
                }
                parts.append(element("rect", shade))
            said = tooltip(f"{name} called {answer}: {n[i, j]:.0f} of {n[i].sum():.0f}")
            parts.append(element("rect", {**box, "class": "cell", "pointer-events": "all"}, said))
            if share[i, j] >= 0.005:
                number = f"{100 * share[i, j]:.0f}"
                parts.append(text(left + side * (j + 0.5), top + side * (i + 0.5) + 4, number, "middle", "number"))
    correct = np.trace(n) / max(n.sum(), 1)
    return drawing(width, top + side * len(classes) + 1, f"Confusion matrix; {100 * correct:.1f} % right.", *parts)


def _time_axis(x: Scale, floor: float, times: Sequence[float]) -> list[str]:
    """The time axis with a tick at every time there is, as far as labels have room."""
    apart = 1
    while len(times) > 1 and (x(times[1]) - x(times[0])) * apart < 24:
        apart += 1
    parts = [line(x.start, floor, x.stop, floor, "axis")]
    for i, t in enumerate(times):
        parts.append(line(x(t), floor, x(t), floor + 4, "axis"))
        if (len(times) - 1 - i) % apart == 0:
            parts.append(_tick(x(t), floor + 17, t, "middle"))
    parts.append(text((x.start + x.stop) / 2, floor + 33, "time since image onset (ms)", "middle"))
    return parts


def _tick(
    x: float, y: float, value: float, anchor: Literal["middle", "end"], signed: bool = False, unit: str = ""
) -> str:
    shown = f"{value:+g}" if signed and value else f"{value:g}"
    return text(x, y, shown.replace("-", MINUS) + unit, anchor)
