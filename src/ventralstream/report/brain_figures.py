"""Figures of brain scores and behaviour, from plain arrays; each function gives a matplotlib figure (see courses.py).

`ventralstream.report.plots.save` writes them. Fractions and correlations are shown as they are; NaN leaves a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ventralstream.errors import VentralError
from ventralstream.report.courses import ONSET, Course, draw_courses
from ventralstream.report.plots import COLOURS, MARKERS, MUTED, look, new_figure, square


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of a recording against a model, for `neurons`.

    Attributes:
        name: The model's name.
        group: What it belongs to in `scores`, whose colour it gets.
        reliability: Each neuron's split-half reliability c, [neuron]; the most r can be is its root.
        r: Each neuron's uncorrected correlation with its prediction, [neuron].
    """

    name: str
    group: str
    reliability: ArrayLike
    r: ArrayLike


@dataclass(frozen=True)
class Bar:
    """One score of several, for `scores`.

    Attributes:
        group: What it belongs to, e.g. the model.
        name: What it is, e.g. the area.
        value: The score.
        low, high: Its 95 % interval.
    """

    group: str
    name: str
    value: float
    low: float
    high: float


def scores(bars: Sequence[Bar], neurons: Sequence[Neurons] = (), *, x_label: str) -> Figure:
    """Scores with their intervals, one below the other, and beside them the neurons behind some of them.

    Args:
        bars: The scores, in groups.
        neurons: A scatter for each of these models.
        x_label: What the scores are.
    """
    groups = list(dict.fromkeys(bar.group for bar in bars))
    with look():
        height = max(2.7, 0.9 + 0.22 * len(bars) + 0.3 * len(groups))
        figure = new_figure(3.9 + 2.5 * len(neurons), height)
        widths = [3.4, *[2.4] * len(neurons)]
        grid = figure.subplots(1, len(widths), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
        _scores(grid[0], bars, groups)
        grid[0].set_xlabel(x_label)
        for i, (axes, one) in enumerate(zip(grid[1:], neurons, strict=True)):
            _neurons(axes, one, groups.index(one.group), labelled=i == 0)
    return figure


def histogram(values: Mapping[str, ArrayLike], *, x_label: str) -> Figure:
    """How values are spread, e.g. the neurons' reliabilities in each region; the median as a dashed line.

    Args:
        values: By name; NaN is left out.
        x_label: What they are.
    """
    known = {name: np.asarray(v, dtype=float) for name, v in values.items()}
    known = {name: v[np.isfinite(v)] for name, v in known.items()}
    everything = np.concatenate(list(known.values()))
    edges = np.linspace(min(0.0, float(everything.min(initial=0))), max(1.0, float(everything.max(initial=1))), 21)
    with look():
        figure = new_figure(4.4, 2.9)
        axes = figure.subplots()
        for i, (name, v) in enumerate(known.items()):
            colour = COLOURS[i % len(COLOURS)]
            axes.hist(
                v, edges.tolist(), color=colour, alpha=0.5, label=f"{name}: median {np.median(v):.2f} of {len(v)}"
            )
            axes.axvline(float(np.median(v)), color=colour, linestyle="--", linewidth=1.4)
        axes.grid(False, axis="x")
        axes.set(xlabel=x_label, ylabel="neurons")
        axes.legend(fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def solution_times(model_ms: ArrayLike, monkey_ms: ArrayLike, rho: float, name: str = "model") -> Figure:
    """When a model solves each image, against when monkey IT does.

    Args:
        model_ms: [image], NaN where it is never solved.
        monkey_ms: [image], likewise.
        rho: The score to be named in the title.
        name: The model's name.
    """
    x, y = np.asarray(monkey_ms, dtype=float), np.asarray(model_ms, dtype=float)
    both = np.isfinite(x) & np.isfinite(y)
    with look():
        figure = new_figure(3.9, 3.6)
        axes = figure.subplots()
        axes.plot(x[both], y[both], MARKERS[0], color=COLOURS[0], alpha=0.55, markersize=4)
        axes.set(
            xlabel="object solution time of monkey IT (ms)",
            ylabel=f"of {name} (ms)",
            title=f"Spearman {rho:.2f}\n{both.sum()} of {both.size} images solved by both",
        )
    return figure


def similarity(
    rdms: Mapping[str, ArrayLike],
    series: Sequence[Course] = (),
    *,
    levels: Mapping[str, float] | None = None,
    y_label: str = "",
) -> Figure:
    """Dissimilarity matrices side by side, and below them how alike representations are over time.

    Args:
        rdms: [stimulus, stimulus], by title, in one order of stimuli. Each is shown as percentiles of its own
            dissimilarities, because that is what a rank correlation compares.
        series: The similarities over time; nothing is drawn below if there are none.
        levels: Values to be compared with, each a dashed line, by name.
        y_label: What the curves are.
    """
    if not rdms:
        raise VentralError("a figure of similarity shows at least one RDM")
    with look():
        titles = 0.2 * max(name.count("\n") + 1 for name in rdms)
        above = 2.4 + titles
        figure = new_figure(0.6 + 2.35 * max(len(rdms), 2), above + (2.8 if series else 0))
        parts = figure.subfigures(2, 1, height_ratios=[above, 2.8], squeeze=False)[:, 0] if series else [figure]
        upper, *lower = parts
        grid = upper.subplots(1, len(rdms), squeeze=False)[0]
        for axes, (name, values) in zip(grid, rdms.items(), strict=True):
            picture = axes.imshow(
                _percentiles(np.asarray(values, dtype=float)), cmap="viridis", vmin=0, vmax=100, interpolation="none"
            )
            axes.set(title=name, xticks=[], yticks=[])
            axes.grid(False)
            for side in axes.spines.values():
                side.set_visible(False)
        bar = upper.colorbar(picture, ax=list(grid), shrink=0.8, ticks=[0, 50, 100])
        bar.set_label("percentile of dissimilarity")
        bar.outline.set_visible(False)
        if lower:
            axes = lower[0].subplots()
            draw_courses(axes, series, None, levels)
            everything = [*(levels or {}).values(), *(v for s in series for v in np.ravel(np.asarray(s.values)))]
            axes.set_ylim(min(0.0, float(np.nanmin(everything)) - 0.02), float(np.nanmax(everything)) * 1.15 + 0.02)
            axes.set(xlabel=ONSET, ylabel=y_label)
    return figure


def signatures(model: ArrayLike, people: ArrayLike, r: float, *, name: str = "model", signature: str = "I2n") -> Figure:
    """A model's behavioural signature against people's, a point an image (and distractor).

    Args:
        model: Values; NaN is left out.
        people: Values, likewise.
        r: Their correlation.
        name: The model's name.
        signature: The signature's name.
    """
    x, y = (np.asarray(a, dtype=float).ravel() for a in (people, model))
    with look():
        figure = new_figure(3.8, 3.6)
        axes = figure.subplots()
        axes.plot(x, y, MARKERS[0], color=COLOURS[0], alpha=0.35, markersize=3.5)
        axes.set(xlabel=f"{signature} of people", ylabel=f"{signature} of {name}", title=f"Pearson's r {r:.2f}")
    return figure


def _scores(axes: Axes, bars: Sequence[Bar], groups: Sequence[str]) -> None:
    y, ticks, names = 0.0, [], []
    for g, group in enumerate(groups):
        axes.annotate(
            group,
            (0, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            fontweight="bold",
            fontsize=8.5,
            va="center",
            bbox={"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 1.5},  # over the grid's lines
        )
        y += 1
        for bar in (b for b in bars if b.group == group):
            colour = COLOURS[g % len(COLOURS)]
            axes.plot([bar.low, bar.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot(bar.value, y, MARKERS[g % len(MARKERS)], color=colour, markersize=6)
            ticks.append(y)
            names.append(bar.name)
            y += 1
        y += 0.3
    axes.set_yticks(ticks, names)
    axes.set_ylim(y - 0.3, -0.8)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(min(0.0, *(b.low for b in bars if np.isfinite(b.low)), 0.0))


def _neurons(axes: Axes, one: Neurons, style: int, labelled: bool) -> None:
    c, r = np.asarray(one.reliability, dtype=float), np.asarray(one.r, dtype=float)
    shown = (c > 0) & np.isfinite(r)
    top = np.sqrt(c[shown])
    low = min(0.0, float(r[shown].min(initial=0))) - 0.05
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.2)
    axes.plot(
        top,
        r[shown],
        MARKERS[style % len(MARKERS)],
        color=COLOURS[style % len(COLOURS)],
        alpha=0.8,
        markersize=4.5,
        clip_on=False,
    )
    square(axes, low, 1.0)
    hidden = "" if shown.all() else f" ({(~shown).sum()} without a ceiling not shown)"
    axes.set(xlabel="most that noise allows\n(root of the reliability)", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set_title(f"{one.name}{hidden}", fontsize=8.5)
    if labelled:
        axes.set_ylabel("raw r of each neuron")


def _percentiles(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each dissimilarity's rank among all, 0 to 100; the diagonal and what is undefined stay empty."""
    first, second = np.triu_indices(len(matrix), k=1)
    values = matrix[first, second]
    result = np.full(matrix.shape, np.nan)
    known = np.isfinite(values)
    if known.any():
        from scipy.stats import rankdata

        ranks = (rankdata(values[known]) - 1) / max(known.sum() - 1, 1) * 100
        result[first[known], second[known]] = result[second[known], first[known]] = ranks
    return result
