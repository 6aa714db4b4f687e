"""Curves over time, or over anything else, with their intervals as bands; from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ventralstream.brain.behaviour.accuracy import AccuracyCurve
from ventralstream.report.plots import COLOURS, INK, MARKERS, MUTED, look, new_figure

ONSET = "time from image onset (ms)"


@dataclass(frozen=True, eq=False)
class Course:
    """Something over time, or over anything else.

    Attributes:
        name: What the legend calls it.
        x: [point], rising.
        values: [point]; NaN leaves a gap.
        low, high: The ends of their intervals, [point]; none drawn if None.
        ceiling: Whether it is a ceiling: drawn as a dashed grey line without markers.
    """

    name: str
    x: ArrayLike
    values: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    ceiling: bool = False

    @classmethod
    def of(cls, name: str, curve: AccuracyCurve) -> Course:
        """An accuracy curve with its intervals."""
        return cls(name, curve.x, curve.accuracy, curve.low, curve.high)


def courses(
    series: Sequence[Course],
    *,
    y_label: str,
    x_label: str = ONSET,
    chance: float | None = None,
    title: str = "",
    panels: Mapping[str, Sequence[Course]] | None = None,
    x_labels: Mapping[str, str] | None = None,
) -> Figure:
    """Curves with their intervals as bands, e.g. scores over time under a ceiling, or accuracy over time.

    Args:
        series: The curves.
        y_label: What the vertical axis shows.
        x_label: What the horizontal axis shows.
        chance: Where guessing lies; a dotted line.
        title: Above the axes.
        panels: Further panels to the right, by title, on the same vertical axis.
        x_labels: What their horizontal axes show, where it is something else.
    """
    boxes = {title: series, **(panels or {})}
    with look():
        entries = max(len(b) for b in boxes.values())
        below = 0.2 * entries if entries > 1 else 0.0
        figure = new_figure(5.6 if len(boxes) == 1 else 1.2 + 3.0 * len(boxes), 3.3 + below)
        apart = {"wspace": 0.08}  # so that the last tick of a panel is not read with the first of the next
        grid = figure.subplots(1, len(boxes), sharey=True, squeeze=False, gridspec_kw=apart)[0]
        explained: list[str] = []
        for axes, (name, curves) in zip(grid, boxes.items(), strict=True):
            names = [c.name for c in curves]
            draw_courses(axes, curves, chance, legend=names != explained)
            explained = names
            axes.set(xlabel=(x_labels or {}).get(name, x_label), title=name)
        grid[0].set_ylabel(y_label)
        if chance is not None:
            grid[0].set_ylim(bottom=0)  # now that all panels are drawn: it ends the scaling to what is in them
    return figure


def draw_courses(
    axes: Axes,
    series: Sequence[Course],
    chance: float | None,
    levels: Mapping[str, float] | None = None,
    legend: bool = True,
) -> None:
    """Draws curves into axes; see `courses`.

    Args:
        axes: Where.
        series: The curves.
        chance: Where guessing lies; a dotted line.
        levels: Values to compare with, each a dashed line, by name.
        legend: Whether to name the curves.
    """
    shown = [s for s in series if not s.ceiling]
    styles = iter(islice(cycle(zip(COLOURS, MARKERS, strict=True)), len(shown)))
    for s in series:
        x, y = np.asarray(s.x, dtype=float), np.asarray(s.values, dtype=float)
        colour, marker = (MUTED, "") if s.ceiling else next(styles)
        if s.low is not None and s.high is not None:
            low, high = np.asarray(s.low, dtype=float), np.asarray(s.high, dtype=float)
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        few = marker if len(x) <= 24 else ""  # more would only be a thicker line
        axes.plot(x, y, color=colour, marker=few, linestyle="--" if s.ceiling else "-", label=s.name)
    for name, value in (levels or {}).items():
        axes.axhline(value, color=MUTED, linestyle="--", linewidth=1.2)
        _beside_line(axes, name, value, above=True)
    if chance is not None:
        axes.axhline(chance, color=INK, linestyle=":", linewidth=1.2)
        _beside_line(axes, "chance", chance, above=False)
    if len(series) > 1 and legend:
        # Beside or below the axes, where it hides no curve.
        where = ("center left", (1.0, 0.5)) if levels else ("upper left", (0.0, -0.17))
        axes.legend(fontsize=8.5, handlelength=1.8, loc=where[0], bbox_to_anchor=where[1])


def _beside_line(axes: Axes, name: str, value: float, *, above: bool) -> None:
    """Names a horizontal line: above its left end, or below its right one."""
    axes.annotate(
        name,
        (0.005 if above else 0.995, value),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, 2 if above else -3),
        textcoords="offset points",
        fontsize=8.5,
        color=MUTED,
        ha="left" if above else "right",
        va="bottom" if above else "top",
    )
