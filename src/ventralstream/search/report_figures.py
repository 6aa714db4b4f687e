"""The figures of a study's report, as SVG text; each takes the numbers of `report_numbers`.

Thousands of trials are few paths of dots, so that a page of 5,000 opens at once, on a phone too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ventralstream.report.svg import Scale, drawing, element, line, marker, path, text, ticks, tooltip
from ventralstream.search.report_numbers import Floats, Level, Spell, Used, ordinary

WIDTH, BROAD = 380.0, 860.0  # for a phone, or beside another; for a screen
MOST_POINTS = 400  # of a curve: more would not be seen
DOTS = 500  # in a path
MOST_LABELLED = 20  # workers
# how each outcome is drawn: its class, and how thick, so that colour is not all that tells them apart
BARS = {
    "finished": ("s1", 9.0),
    "pruned": ("s3", 6.0),
    "refused": ("faint", 3.0),
    "failed": ("error", 9.0),
    "cut short": ("s2", 4.0),
    "running": ("open", 9.0),
}
_BAR_OF = {
    **dict.fromkeys(("trained", "known", "complete"), "finished"),
    "pruned": "pruned",
    "refused": "refused",
    **dict.fromkeys(("interrupted", "died"), "cut short"),
    "running": "running",
}


@dataclass(frozen=True)
class Mark:
    """A trial that is pointed out.

    Attributes:
        name: What it is called.
        x: Its trial number, or its cost.
        accuracy: 0 to 1.
    """

    name: str
    x: float
    accuracy: float


def samples(numbers: Floats, accuracy: Floats, median: Floats, marks: Sequence[Mark] = (), width: float = WIDTH) -> str:
    """Accuracy by sample: each as a dot, the best so far, and the running median.

    Args:
        numbers: Trial numbers, rising.
        accuracy: Validation accuracies, 0 to 1.
        median: The running median at each; NaN where there is none yet.
        marks: Trials that are pointed out, by their numbers.
        width: Of the figure in px.
    """
    height = 280.0
    plot = _Plot(width, height, (0.0, max(float(numbers[-1]), 1.0)), accuracy, marks)
    x, y = plot.x, plot.y
    parts = [*plot.axes("trial", ticks(x.low, x.high, 6)), dots([x(v) for v in numbers], [y(v) for v in accuracy])]
    best, corners = -math.inf, list[tuple[float, float]]()
    for number, value in zip(numbers, accuracy, strict=True):
        if value > best:
            corners += [(x(number), y(best))] if corners else []
            best = float(value)
            corners.append((x(number), y(best)))
    parts.append(path([*corners, (x(numbers[-1]), y(best))], "curve s2"))
    there = np.flatnonzero(np.isfinite(median))
    kept = there[np.unique(np.linspace(0, len(there) - 1, min(len(there), MOST_POINTS)).round().astype(int))]
    if len(kept):
        parts.append(path([(x(numbers[i]), y(median[i])) for i in kept], "curve s1"))
    ends = f", the running median ends at {median[-1]:.1%}" if len(kept) else ""
    said = f"Accuracy of {len(numbers)} trials; the best has {best:.1%}{ends}."
    return drawing(width, height, said, *parts, *_marks(marks, x, y))


def costs(cost: Floats, accuracy: Floats, front: Sequence[int], label: str, marks: Sequence[Mark] = ()) -> str:
    """Accuracy against what it costs, and the front of those that none beats in both.

    Args:
        cost: Of each trial, above 0; on a scale of ratios.
        accuracy: Validation accuracies, 0 to 1.
        front: The trials on the front, the cheapest first.
        label: What the cost is.
        marks: Trials that are pointed out, by their costs.
    """
    low, high = float(cost.min()), float(cost.max())
    low, high = (low / 1.2, high * 1.2) if high < 1.3 * low else (low / 1.04, high * 1.04)
    plot = _Plot(WIDTH, 280.0, (math.log10(low), math.log10(high)), accuracy, marks)
    x, y = plot.x, plot.y
    round_ones = [m * 10.0**e for e in range(-1, 16) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    parts = plot.axes(label, [math.log10(v) for v in round_ones], [_short(v) for v in round_ones])
    parts.append(dots([x(math.log10(v)) for v in cost], [y(v) for v in accuracy]))
    corners = [(x(math.log10(cost[i])), y(accuracy[i])) for i in front]
    stairs = [p for a, b in itertools.pairwise(corners) for p in (a, (b[0], a[1]))] + corners[-1:]
    parts.append(path([*stairs, (plot.x.stop, stairs[-1][1])], "curve s2"))
    if len(front) <= 60:
        for i, (px, py) in zip(front, corners, strict=True):
            parts.append(marker(px, py, 2, "dot s2", tooltip(f"{_short(cost[i])}: {accuracy[i]:.1%}")))
    there = [Mark(m.name, math.log10(m.x), m.accuracy) for m in marks]
    ends = f"from {_short(cost[front[0]])} with {accuracy[front[0]]:.1%} to {_short(cost[front[-1]])} with"
    said = f"Accuracy against {label}; {len(front)} trials are on the front, {ends} {accuracy[front[-1]]:.1%}."
    return drawing(WIDTH, 280.0, said, *parts, *_marks(there, x, y))


def bars(shares: Mapping[str, float]) -> str:
    """Parts of a whole, one below the other."""
    left, right, apart = 176.0, 44.0, 20.0
    x = Scale(0, max(max(shares.values(), default=0), 1e-9), left, WIDTH - right)
    parts = []
    for i, (name, share) in enumerate(shares.items()):
        top = apart * i + 3
        parts += [
            text(left - 8, top + 11, clipped(name, 27), "end"),
            element("rect", {"x": left, "y": top, "width": x(share) - left, "height": 13, "class": "fill s1"}),
            text(x(share) + 6, top + 11, f"{share:.0%}" if share >= 0.01 else "<1%", classes="number"),
        ]
    said = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return drawing(WIDTH, apart * len(shares) + 4, f"Importances: {said}.", *parts)


def levels(found: Sequence[Level], span: tuple[float, float], width: float = 320.0) -> str:
    """The quartiles of the accuracy by the value of a parameter, one value below the other.

    Args:
        found: The values.
        span: The lowest and the highest accuracy of the axis, 0 to 1: the same for all parameters.
        width: Of the figure in px.
    """
    left, right, apart = 100.0, 38.0, 20.0
    x, floor = Scale(100 * span[0], 100 * span[1], left, width - right), apart * len(found) + 4
    parts = []
    for tick in ticks(x.low, x.high, 4):
        parts += [line(x(tick), 0, x(tick), floor, "grid"), text(x(tick), floor + 14, f"{tick:g}%", "middle")]
    best = max(found, key=lambda level: level.median)
    for i, level in enumerate(found):
        y = apart * (i + 0.5) + 2
        told = tooltip(f"{level.name}: median {level.median:.1%}, {level.count} trials")
        parts += [
            text(left - 8, y + 4, clipped(level.name, 16), "end", "strong" if level is best else "label"),
            line(x(100 * level.low), y, x(100 * level.high), y, "whisker s1"),
            marker(x(100 * level.median), y, 1, "dot s1", told),
            text(width, y + 4, f"{level.count}", "end", "tiny"),
        ]
    said = "; ".join(f"{level.name}: median {level.median:.1%} of {level.count} trials" for level in found)
    return drawing(width, floor + 18, said, *parts)


def connections(used: Sequence[Used]) -> str:
    """How often the best tenth uses each feedback connection (with its interval), and how often all do."""
    left, right, apart = 128.0, 20.0, 20.0
    x, floor = Scale(0, 100, left, WIDTH - right), apart * len(used) + 4
    parts = []
    for tick in (0, 25, 50, 75, 100):
        parts += [line(x(tick), 0, x(tick), floor, "grid"), text(x(tick), floor + 14, f"{tick}%", "middle")]
    for i, u in enumerate(used):
        y = apart * (i + 0.5) + 2
        name = f"{u.source} \N{RIGHTWARDS ARROW} {u.target}"
        told = tooltip(f"{name}: {u.best:.0%} of the best tenth, {u.every:.0%} of all")
        parts += [
            text(left - 8, y + 4, clipped(name, 19), "end"),
            line(x(100 * u.low), y, x(100 * u.high), y, "whisker s2"),
            marker(x(100 * u.every), y, 1, "dot s3"),
            marker(x(100 * u.best), y, 2, "dot s2", told),
        ]
    said = "; ".join(f"{u.source} to {u.target}: {u.best:.0%} of the best, {u.every:.0%} of all" for u in used)
    return drawing(WIDTH, floor + 18, f"Feedback connections: {said}.", *parts)


def timeline(spells: Mapping[str, Sequence[Spell]], width: float = WIDTH) -> str:
    """Each worker's trials over time, drawn by what came of them (see `BARS`).

    Args:
        spells: The trials, by worker.
        width: Of the figure in px.
    """
    few = len(spells) <= MOST_LABELLED
    left, right, apart = (112.0 if few else 8.0), 10.0, (18.0 if few else max(4.0, 300 / len(spells)))
    end = max((s.stop for one in spells.values() for s in one), default=0.0) or 1.0
    unit, name = next(
        (u for u in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")) if end > 3 * u[0]), (1.0, "seconds")
    )
    x, floor = Scale(0, end / unit, left, width - right), apart * len(spells) + 6
    parts = []
    for tick in ticks(0, end / unit, 6):
        parts += [line(x(tick), 0, x(tick), floor, "grid"), text(x(tick), floor + 15, f"{tick:g}", "middle")]
    parts.append(text((left + width - right) / 2, floor + 32, f"{name} since the first trial began", "middle"))
    drawn: dict[str, list[str]] = {kind: [] for kind in BARS}
    for i, (worker, one) in enumerate(spells.items()):
        y = apart * (i + 0.5) + 3
        if few:
            parts.append(text(left - 6, y + 4, clipped(worker, 18, front=False), "end", "tiny"))
        for s in one:
            start, stop = x(s.start / unit), x(s.stop / unit)
            kind = _BAR_OF.get(s.outcome, "failed")
            drawn[kind].append(f"M{start:.1f},{y:.1f}h{max(stop - start - 0.5, 0.5):.1f}")
    for kind, steps in drawn.items():
        role, thick = BARS[kind]
        if steps:
            thin = min(thick, thick * apart / 12)
            parts.append(element("path", {"d": "".join(steps), "class": f"bar {role}", "stroke-width": thin}))
    count = sum(map(len, spells.values()))
    return drawing(width, floor + 38, f"{count} trials of {len(spells)} workers over time.", *parts)


def bar_swatch(kind: str) -> str:
    """How an outcome is drawn in the timeline, for a legend."""
    role, thick = BARS[kind]
    return drawing(34, 16, "", element("path", {"d": "M2,8h30", "class": f"bar {role}", "stroke-width": thick}))


def dot_swatch() -> str:
    """A trial's dot, for a legend."""
    return drawing(34, 16, "", dots([10.0, 17.0, 24.0], [10.0, 5.0, 9.0]))


def curve_swatch(style: int) -> str:
    """A line, for a legend."""
    return drawing(34, 16, "", line(1, 8, 33, 8, f"curve s{style}"))


def marker_swatch(shape: int, classes: str) -> str:
    """A marker, for a legend."""
    return drawing(34, 16, "", marker(17, 8, shape, classes))


def dots(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Many dots as paths of lines without length, whose round ends are all that is seen.

    Some hundred a path: browsers take three times as long for thousands in one, or for one each.
    """
    steps = [f"M{x:.1f},{y:.1f}h0" for x, y in zip(xs, ys, strict=True)]
    role = "dots" if len(steps) <= 400 else "dots many"
    paths = ("".join(steps[i : i + DOTS]) for i in range(0, len(steps), DOTS))
    return "".join(element("path", {"d": path, "class": role}) for path in paths)


def clipped(name: str, most: int, front: bool = True) -> str:
    """A name of at most so many characters; `front` says which end is kept."""
    if len(name) <= most:
        return name
    return f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}" if front else f"\N{HORIZONTAL ELLIPSIS}{name[1 - most :]}"


class _Plot:
    """Axes: a horizontal one of anything, a vertical one of accuracy in percent; `y` takes fractions.

    The vertical one begins where most trials do (`ordinary`), or lower for what is pointed out; those below lie on it.
    """

    def __init__(
        self, width: float, height: float, across: tuple[float, float], accuracy: Floats, marks: Sequence[Mark]
    ) -> None:
        self.width, self.floor = width, height - 40.0
        self.x = Scale(*across, 40.0, width - 18.0)
        low, high = min(ordinary(accuracy), *(m.accuracy for m in marks), 1.0), float(accuracy.max())
        margin = max(0.03 * (high - low), 0.002)
        self._scale = Scale(max(0.0, low - margin), min(1.0, high + margin), self.floor, 24.0)
        self._below = int((accuracy < self._scale.low).sum())

    def y(self, accuracy: float) -> float:
        return self._scale(max(accuracy, self._scale.low))

    def axes(self, label: str, at: Sequence[float], names: Sequence[str] | None = None) -> list[str]:
        low, high = 100 * self._scale.low, 100 * self._scale.high
        parts = [text(0, 12, "validation accuracy (%)")]
        if self._below:
            trials = "1 trial" if self._below == 1 else f"{self._below} trials"
            parts.append(text(self.x.stop, 12, f"\N{DOWNWARDS ARROW} {trials} below {low:.0f}%", "end", "tiny"))
        for tick in ticks(low, high, 6):
            y = self.y(tick / 100)
            parts += [line(self.x.start, y, self.x.stop, y, "grid"), text(34, y + 4, f"{tick:g}", "end")]
        parts.append(line(self.x.start, self.floor, self.x.stop, self.floor, "axis"))
        for tick, name in zip(at, names or [f"{t:g}" for t in at], strict=True):
            parts += [
                line(self.x(tick), self.floor, self.x(tick), self.floor + 4, "axis"),
                text(self.x(tick), self.floor + 17, name, "middle"),
            ]
        parts.append(text((self.x.start + self.x.stop) / 2, self.floor + 34, label, "middle"))
        return parts


def _marks(marks: Sequence[Mark], x: Scale, y: Callable[[float], float]) -> list[str]:
    """Diamonds with names, which give way to each other."""
    parts: list[str] = []
    taken: list[tuple[float, bool]] = []
    for mark in sorted(marks, key=lambda m: (-m.accuracy, m.x)):
        px, py = x(mark.x), y(mark.accuracy)
        parts.append(marker(px, py, 3, "dot truth-dot", tooltip(f"{mark.name}: {mark.accuracy:.1%}")))
        leftwards = px > (x.start + x.stop) / 2
        ty = py + 4
        while any(abs(ty - other) < 12 and leftwards == side for other, side in taken):
            ty += 4
        taken.append((ty, leftwards))
        parts.append(
            text(px - 8 if leftwards else px + 8, ty, mark.name, "end" if leftwards else "start", "strong halo")
        )
    return parts


def _short(value: float) -> str:
    """A large number in few letters: 20k, 1.5M, 3G."""
    for scale, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"
