"""The section of docs/results.md on the architecture search, made of the table of its trials in the package alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from plan import Plan
from scipy.stats import binomtest, bootstrap

from ventralstream.cells import Reciprocal
from ventralstream.files import write_text
from ventralstream.report.plots import COLOURS, MUTED, PAGE, look, new_figure, save
from ventralstream.report.style import as_file
from ventralstream.search import table
from ventralstream.search.outcomes import KNOWN, TRAINED
from ventralstream.search.report_cell import cells_of, described, draw_cell, factors
from ventralstream.search.report_numbers import Floats, ordinary, running_median, window
from ventralstream.spec import spec_from_json

SAMPLERS = {"tpe": "TPE", "random": "random search"}
SEEDS = (0, 1)  # the studies are tpe0, tpe1, random0 and random1
POINTS = {"rgc": "rgc_shallow's cell", "median": "the published median cell"}
WANTED, LEVEL, RESAMPLES = 150, 0.95, 4999
TPE_WON, RANDOM_WON, UNDECIDED = "TPE won", "Random search won", "Undecided"
FIGURE = "search.svg"
NAMES = {"best": "best", "median": "median", "without": "best without the cell"}

SECTION = """## The architecture search: TPE against random draws

Nayebi et al. 2018 searched local cells and long-range feedback by a tree-structured Parzen estimator (TPE). Does it
find better networks than drawing at random from the same space? The space is `cifar-small`; a trial is a training of 3
epochs on 5,000 images of CIFAR-10 (recipe `search-cifar10`), its accuracy the best of an epoch on {images} held-out
training images. {wanted} trials for each sampler with each of two seeds; the two published cells are the first two
trials of each study. All trials are in the package: `vs.search.table()`.

{sentence}

* **Late median**: the median accuracy of the last third of a study's complete trials. Its {level:.0%} interval is a
  bootstrap over these trials, as if they had been drawn independently; two seeds are too few to draw seeds.
* **Best so far**: the best of the sampled trials. Its interval (Wilson's) is how sure the accuracy of that one network
  is, from {images} images; that it is the best of many makes it look better than it is.
* **Place**: how many of the study's sampled trials were better than a published cell, plus one.
* **Rule**: TPE won if the interval of the difference of the late medians (mean of the seeds) is wholly above zero, and
  TPE's is the higher one with both seeds; random search won if it is the other way round; else it is undecided.

"""


@dataclass(frozen=True)
class Study:
    """One study, as far as it is in the table.

    Attributes:
        sampler, seed: What proposed, and its seed.
        rows: Its trials in the order in which they were begun.
    """

    sampler: str
    seed: int
    rows: Any

    @property
    def wanted(self) -> int:
        """The trials it shall have."""
        return int(self.rows["wanted"].iloc[0]) if len(self.rows) else WANTED

    @property
    def finished(self) -> bool:
        """Whether it has them."""
        return len(self.rows) >= self.wanted

    @cached_property
    def complete(self) -> Any:
        """The trials that came to a value."""
        return self.rows[self.rows["outcome"].isin([TRAINED, KNOWN])]

    @property
    def sampled(self) -> Any:
        """Those of them that are no published cell."""
        return self.complete[self.complete["point"].isna()]

    @property
    def accuracy(self) -> Floats:
        """In percent, in order."""
        return 100 * self.complete["accuracy"].to_numpy(dtype=float)

    @property
    def late(self) -> Any:
        """The last third of the complete trials."""
        return self.complete.iloc[-max(1, len(self.complete) // 3) :]

    @property
    def best(self) -> Any:
        """The most accurate sampled trial, the first of several."""
        return self.sampled.loc[self.sampled["accuracy"].idxmax()]


def studies(path: Path | None = None) -> list[Study]:
    """The four studies, also those of which nothing is in the table yet."""
    rows = table(path)
    rows = rows[rows["space"] == "cifar-small"].sort_values(["study", "trial"])
    return [Study(s, seed, rows[rows["study"] == f"{s}{seed}"]) for s in SAMPLERS for seed in SEEDS]


def late_medians(of: list[Study]) -> tuple[float, float, float]:
    """The mean over studies of the median of their last thirds, in percent, with its interval."""
    values = [100 * study.late["accuracy"].to_numpy(dtype=float) for study in of]
    found = float(np.mean([np.median(v) for v in values]))

    def statistic(*parts: Floats, axis: int = -1) -> Floats:
        medians: Floats = np.mean([np.median(part, axis=axis) for part in parts], axis=0)
        return medians

    return found, *_interval(values, statistic)


def difference(there: list[Study]) -> tuple[float, float, float]:
    """TPE's late median less that of random search, in points: the mean over seeds, with its interval."""
    values = [[100 * s.late["accuracy"].to_numpy(dtype=float) for s in there if s.sampler == name] for name in SAMPLERS]
    first = len(values[0])

    def statistic(*parts: Floats, axis: int = -1) -> Floats:
        medians = [np.median(part, axis=axis) for part in parts]
        less: Floats = np.mean(medians[:first], axis=0) - np.mean(medians[first:], axis=0)
        return less

    flat = [value for one in values for value in one]
    return float(statistic(*flat)), *_interval(flat, statistic)


def _interval(values: list[Floats], statistic: Any) -> tuple[float, float]:
    """Percentiles of a bootstrap that draws from each of several groups."""
    if all(len(np.unique(v)) == 1 for v in values):
        found = float(statistic(*values))
        return found, found
    options: Any = {"method": "percentile", "confidence_level": LEVEL, "n_resamples": RESAMPLES, "rng": 0}
    found = bootstrap(tuple(values), statistic, vectorized=True, **options).confidence_interval
    return float(found.low), float(found.high)


def verdict(there: list[Study]) -> str:
    """What the rule says of studies that are finished."""
    _, low, high = difference(there)
    by = {(s.sampler, s.seed): float(s.late["accuracy"].median()) for s in there}
    ahead = [by["tpe", seed] - by["random", seed] for seed in SEEDS]
    if low > 0 and all(a > 0 for a in ahead):
        return TPE_WON
    return RANDOM_WON if high < 0 and all(a < 0 for a in ahead) else UNDECIDED


def sentence(there: list[Study]) -> str:
    """How many trials there are, or who won."""
    if not all(study.finished for study in there):
        each = ", ".join(f"{s.sampler}{s.seed} {len(s.rows)}" for s in there)
        done, wanted = sum(len(s.rows) for s in there), sum(s.wanted for s in there)
        return f"**The studies are not finished**: {done} of {wanted} trials are done ({each}). What follows is so far."
    found, low, high = difference(there)
    return (
        f"**{verdict(there)}**: the late median of TPE less that of random search is {found:+.1f} points ({low:+.1f} to"
        f" {high:+.1f})."
    )


def chosen(there: list[Study]) -> dict[str, Any]:
    """Networks that TPE sampled, as rows of the table.

    Of those with the cell the best one, and the median one of its last thirds; and the best one without the cell. The
    first of several; of two in the middle the lower one.
    """
    import pandas

    of_tpe = [study for study in there if study.sampler == "tpe"]
    found = {}
    for which, cell in (("best", True), ("median", True), ("without", False)):
        rows = pandas.concat([study.late if which == "median" else study.sampled for study in of_tpe])
        rows = rows[[has_cell(row) == cell for _, row in rows.iterrows()]].sort_values("accuracy", kind="stable")
        if len(rows):
            there_ = rows["accuracy"] == rows["accuracy"].max()
            found[which] = rows.iloc[(len(rows) - 1) // 2] if which == "median" else rows[there_].iloc[0]
    return found


def has_cell(row: Any) -> bool:
    """Whether a trial's network has the cell in an area: which areas have it is searched, too."""
    return any(has for name, has in json.loads(row["params"]).items() if name.startswith("area."))


def _without(there: list[Study]) -> str:
    """How many of the late trials do without the cell."""
    each = [
        f"{sum(not has_cell(row) for _, row in study.late.iterrows())} of {len(study.late)} with"
        f" {SAMPLERS[study.sampler]} and seed {study.seed}"
        for study in there
        if len(study.sampled)
    ]
    return (
        f"Which areas have the cell is searched, too. Of the last thirds, networks without it were {', '.join(each)}."
    )


def section(figures: str, plan: Plan, path: Path | None = None) -> str:
    """The section of the page.

    Args:
        figures: The folder of figures beside the page.
        plan: What runs.yaml says.
        path: Of another table than the package's own.
    """
    there = studies(path)
    images = _images(there)
    text = SECTION.format(
        images=f"{images:,}" if images else "some", wanted=WANTED, level=LEVEL, sentence=sentence(there)
    )
    begun = [study for study in there if len(study.sampled)]
    if not begun:
        return text
    lines = [f"![Accuracy of the trials by TPE and by random search]({figures}/{FIGURE})", "", *_table(there, images)]
    return text + "\n".join([*lines, "", _without(there), "", *_cells(figures, there, plan), ""])


def draw(folder: Path, path: Path | None = None) -> None:
    """Draws the studies, and the best and the median cell, into a folder."""
    there = studies(path)
    begun = [study for study in there if len(study.sampled)]
    if not begun:
        return
    with look():
        figure = new_figure(8.4, 3.3)
        median, best = figure.subplots(1, 2, sharey=True)
        for i, (sampler, label) in enumerate(SAMPLERS.items()):
            colour, of = COLOURS[i], [study for study in begun if study.sampler == sampler]
            for study in of:
                at = np.arange(len(study.accuracy))
                median.plot(at, study.accuracy, ".", color=colour, alpha=0.4, markeredgewidth=0, zorder=1)
                drawn = study.complete["point"].isna().to_numpy()
                best.step(
                    at[drawn],
                    np.maximum.accumulate(study.accuracy[drawn]),
                    "-" if study.seed == SEEDS[0] else "--",
                    where="post",
                    color=colour,
                    label=f"{label}, seed {study.seed}",
                )
            over, at, middle, low, high = _running(of)
            if len(at):
                median.plot(at, middle, color=colour, label=f"{label}, median of {over}")
                median.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        points = {name: row for study in begun for name, row in _points(study).items()}
        for name, row in points.items():
            for axes in (median, best):
                axes.axhline(100 * row["accuracy"], color=COLOURS[2], linestyle=":", linewidth=1)
            place = (1, 100 * row["accuracy"])
            told = best.annotate(POINTS[name], place, xycoords=("axes fraction", "data"), ha="right", va="center")
            told.set(
                fontsize=8, color=COLOURS[2], bbox={"facecolor": PAGE, "edgecolor": "none", "alpha": 0.85, "pad": 1}
            )
        median.set(xlabel="complete trial", ylabel="validation accuracy, %", title="running median of both seeds")
        best.set(xlabel="complete trial", title="best so far")
        _begin_where_most_are(median, np.concatenate([study.accuracy for study in begun]), points)
        for axes in (median, best):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="lower right", fontsize=8)
    save(figure, folder / FIGURE)
    for which, row in chosen(there).items():
        if cell := cells_of(spec_from_json(row["spec"])):
            _, area, receives = cell[0]
            write_text(folder / _drawing(which), as_file(draw_cell(area, receives)))


def _begin_where_most_are(axes: Any, accuracy: Floats, points: Mapping[str, Any]) -> None:
    """Few trials that fail would squeeze all others: those far below the rest are counted in a corner."""
    floor = min(100 * ordinary(accuracy / 100), *(100 * row["accuracy"] for row in points.values()), 100.0)
    floor -= 0.05 * (accuracy.max() - floor)
    if below := int((accuracy < floor).sum()):
        axes.set_ylim(bottom=floor)
        told = f"\N{DOWNWARDS ARROW} {below} of {len(accuracy)} trials below {floor:.0f}%"
        axes.text(0.02, 0.02, told, transform=axes.transAxes, fontsize=8, color=MUTED, va="bottom")


def _running(of: list[Study]) -> tuple[int, Floats, Floats, Floats, Floats]:
    """The running median of all seeds together: its window, samples, medians and interval (a bootstrap over trials)."""
    count = min((len(study.accuracy) for study in of), default=0)
    over, none = window(count), np.zeros(0)
    if count < over:
        return over, none, none, none, none
    windows = [np.lib.stride_tricks.sliding_window_view(study.accuracy[:count], over) for study in of]
    values = np.concatenate(windows, axis=1)
    drawn = np.random.default_rng(0).integers(values.shape[1], size=(999, values.shape[1]))
    low, high = np.quantile(np.median(values[:, drawn], axis=2), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    middle = np.median(values, axis=1) if len(of) > 1 else running_median(of[0].accuracy, over)[over - 1 :]
    return over, np.arange(over - 1, count, dtype=float), middle, low, high


def _points(study: Study) -> dict[str, Any]:
    """The published cells that were trained in a study, by name."""
    there = study.complete[study.complete["point"].isin(list(POINTS))]
    return {str(row["point"]): row for _, row in there.iterrows()}


def _images(there: list[Study]) -> int:
    """How many images an accuracy is measured on."""
    recipes = [json.loads(study.rows["recipe"].iloc[0]) for study in there if len(study.rows)]
    return int(recipes[0]["val_subset"] or recipes[0]["holdout"]) if recipes else 0


def _table(there: list[Study], images: int) -> list[str]:
    head = ["sampler", "seed", "trials", "without a value", "late median, %", "best so far, %", *POINTS.values()]
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for study in there:
        cells = [SAMPLERS[study.sampler], str(study.seed), f"{len(study.rows)} of {study.wanted}"]
        if not len(study.sampled):
            lines.append(_row([*cells, *["missing"] * (len(head) - 3)]))
            continue
        best = float(study.best["accuracy"])
        sure = binomtest(round(best * images), images).proportion_ci(LEVEL, method="wilson")
        cells += [str(len(study.rows) - len(study.complete)), _between(*late_medians([study]))]
        cells.append(_between(100 * best, 100 * sure.low, 100 * sure.high))
        lines.append(_row([*cells, *(_place(study, name) for name in POINTS)]))
    for sampler, label in SAMPLERS.items():
        of = [study for study in there if study.sampler == sampler and len(study.sampled)]
        if len(of) == len(SEEDS):
            lines.append(_row([label, "mean", "", "", _between(*late_medians(of)), f"{_mean_best(of):.1f}", "", ""]))
    return lines


def _mean_best(of: list[Study]) -> float:
    return float(np.mean([100 * study.best["accuracy"] for study in of]))


def _place(study: Study, name: str) -> str:
    """The accuracy of a published cell, and its place among the sampled ones."""
    if (row := _points(study).get(name)) is None:
        return "missing"
    place = int((study.sampled["accuracy"] > row["accuracy"]).sum()) + 1
    return f"{100 * row['accuracy']:.1f}, place {place} of {len(study.sampled) + 1}"


def _cells(figures: str, there: list[Study], plan: Plan) -> list[str]:
    found = chosen(there)
    if not found:
        return []
    facts = {which: _facts(figures, which, row) for which, row in found.items()}
    lines = [
        "Of the networks with the cell, the best one that TPE has sampled, with either seed, and the median one of its",
        "last thirds; and the best one without the cell (to choose them apart came to mind after the studies):",
        "",
    ]
    lines += [_row(["", *(NAMES[which] for which in found)]), _row(["---"] * (len(found) + 1))]
    lines += [_row([name, *(facts[which][name] for which in found)]) for name in next(iter(facts.values()))]
    return [*lines, "", _retrained(there, found, plan)]


def _retrained(there: list[Study], found: Mapping[str, Any], plan: Plan) -> str:
    """Where the two networks are trained for longer."""
    beside = "trained as the networks below, beside Reciprocal Gated Cells with as many parameters"
    listed = {network.searched for network in plan.networks.values() if network.searched}
    if not all(study.finished for study in there):
        return f"When the studies are finished, they are {beside}."
    if all(row["spec_hash"] in listed for row in found.values()):
        return f"They were {beside}: see below."
    return f"They are yet to be {beside}."


def _facts(figures: str, which: str, row: Any) -> dict[str, str]:
    spec, params = spec_from_json(row["spec"]), json.loads(row["params"])
    cells = cells_of(spec)
    facts = {
        "trial": f"{row['trial']} of {row['study']}",
        "accuracy, %": f"{100 * row['accuracy']:.1f}",
        "parameters": f"{row['parameters']:,}",
        "MFLOP an image": f"{row['flops'] / 1e6:.1f}",
        "hash of the spec": f"`{row['spec_hash']}`",
        "steps, readout": f"{spec.steps}, {spec.readout.tag}",
        "normalisation": str(params["norm"]).replace("_", "-"),
        "learning rate": f"{params['recipe.optimizer.lr']:.2g}",
        "areas with the cell": "none",
        "long-range feedback": ", ".join(f"{c.source} to {c.target}" for c in spec.connections if c.kind == "feedback")
        or "none",
        "the cell": "none",
        "its factors": "none",
        "drawn": "",
    }
    if cells:
        areas, area, receives = cells[0]
        facts["areas with the cell"] = ", ".join(areas)
        facts["the cell"] = described(area, receives)
        if isinstance(area.cell, Reciprocal):
            facts["its factors"] = "; ".join(f"{name}: {said}" for name, said in factors(area.cell))
        facts["drawn"] = f"![The {which} cell]({figures}/{_drawing(which)})"
    return facts


def _drawing(which: str) -> str:
    return f"search-{which}-cell.svg"


def _between(found: float, low: float, high: float) -> str:
    return f"{found:.1f} ({low:.1f} to {high:.1f})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
