"""The report of a study: one HTML page by itself, with what the trials came to and why, as figures and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from ventralstream.cells import Reciprocal
from ventralstream.errors import printable
from ventralstream.files import write_text
from ventralstream.report import page as html
from ventralstream.search import report_figures as figures
from ventralstream.search import report_numbers as numbers
from ventralstream.search.outcomes import outcome_of
from ventralstream.search.report_cell import cells_of, draw_cell, edge_swatch, factors
from ventralstream.search.report_figures import Mark
from ventralstream.search.study import Study
from ventralstream.spec import NetworkSpec, spec_from_json

MOST_PARAMETERS = 12  # whose importance and effect is shown
MOST_CONNECTIONS = 21
SHOWN = 10  # trials in the table of the best


def write_report(study: Study, path: str | Path) -> None:
    """Writes a study's report; the file is whole or not there.

    Args:
        study: The study.
        path: The file, e.g. "report.html".

    Raises:
        VentralError: the database does not answer.
    """
    write_text(path, report(study))


def report(study: Study) -> str:
    """A study's report as an HTML document that fetches nothing."""
    trials = study.trials
    done = numbers.complete(trials)
    sections = [html.paragraph("ventralstream, architecture search", "over"), html.heading(_title(study), 1)]
    if not done:
        sections.append(html.paragraph("No trial of this study is complete yet.", "note"))
    else:
        sections += [*_accuracy(study, done), *_importance(study, done), *_feedback(done), *_cells(study)]
        sections += [*_costs(study, done), *_best(done)]
    sections += [*_workers(trials), html.heading("The study"), html.definitions(_about(study, trials))]
    return html.page(_title(study), *sections)


def _title(study: Study) -> str:
    return f"Study {printable(study.name)}"


def _accuracy(study: Study, done: Sequence[FrozenTrial]) -> Iterator[str]:
    accuracy, best = numbers.values(done), study.best
    over = numbers.window(len(done))
    median = numbers.running_median(accuracy, over)
    late = accuracy[-max(1, len(accuracy) // 3) :]
    yield html.paragraph(
        f"{len(done):,} networks of the space {printable(study.space_name)} were trained and validated. The best, trial"
        f" {best.number}, has {best.value:.1%}; the median of the last third is {np.median(late):.1%}, of the first"
        f" {np.median(accuracy[: len(late)]):.1%}.",
        "lead",
    )
    marks = [Mark(name, t.number, float(t.value or 0)) for name, t in numbers.known_points(done).items()]
    yield html.heading("Accuracy by sample")
    yield html.legend(
        [
            (figures.dot_swatch(), "a trial"),
            (figures.curve_swatch(2), "best so far"),
            (figures.curve_swatch(1), f"median of the last {over}"),
            *([(figures.marker_swatch(3, "dot truth-dot"), "known cell")] if marks else []),
        ]
    )
    sampled = np.array([t.number for t in done], dtype=float)
    drawn = (figures.samples(sampled, accuracy, median, marks, width) for width in (figures.BROAD, figures.WIDTH))
    yield html.figure(
        html.fitting(*drawn), "Validation accuracy of each complete trial, in the order in which they were sampled."
    )
    if known := numbers.known_points(done):
        rows = []
        for name, t in known.items():
            place = int((accuracy > float(t.value or 0)).sum()) + 1
            rows.append((printable(name), str(t.number), f"{t.value:.1%}", f"{place:,} of {len(done):,}"))
        yield html.table(("known cell", "trial", "accuracy", "place"), rows)


def _importance(study: Study, done: Sequence[FrozenTrial]) -> Iterator[str]:
    yield html.heading("What matters")
    if len(done) < numbers.LEAST:
        yield _too_few(len(done), "importances and effects")
        return
    found = numbers.importances(study.optuna)
    shown = dict(list(found.items())[:MOST_PARAMETERS])
    yield html.figure(
        figures.bars({printable(name): share for name, share in shown.items()}),
        f"How much each parameter has to do with being among the best tenth (PED-ANOVA), as parts of 1; the first"
        f" {len(shown)} of {len(found)} parameters. Of few trials, and of parameters that a sampler has seldom varied,"
        " they say little.",
    )
    effects = {name: numbers.effect(done, name) for name in shown}
    ends = [value for levels in effects.values() for level in levels for value in (level.low, level.high)]
    low, high = min(ends), max(ends)
    span = (low - 0.02 * (high - low) - 1e-4, high + 0.02 * (high - low) + 1e-4)
    yield html.paragraph(
        "Accuracy by the value of each: dots are medians, bars go from the lower to the upper quartile; at the right"
        " how many trials. The highest median is bold."
    )
    yield html.panels(
        html.heading(printable(name), 3) + figures.levels(levels, span) for name, levels in effects.items()
    )


def _feedback(done: Sequence[FrozenTrial]) -> Iterator[str]:
    used = numbers.feedback(done)
    if not used:
        return
    yield html.heading("Long-range feedback")
    if len(done) < numbers.LEAST:
        yield _too_few(len(done), "connections of the best tenth")
        return
    shown = used if len(used) <= MOST_CONNECTIONS else [*used[: MOST_CONNECTIONS - 7], *used[-7:]]
    few = "" if len(shown) == len(used) else f" The first and last of {len(used)}."
    yield html.legend(
        [
            (figures.marker_swatch(2, "dot s2"), "the best tenth, with its 95 % interval"),
            (figures.marker_swatch(1, "dot s3"), "all complete trials"),
        ]
    )
    yield html.figure(
        figures.connections(shown),
        "How many of the networks have each feedback connection; those that the best have more often than all come"
        f" first.{few}",
    )


def _cells(study: Study) -> Iterator[str]:
    named = [("The best", study.best), ("The median", study.median)]
    panels = [panel for name, trial in named for panel in _drawn(name, trial)]
    if not panels:
        return
    yield html.heading("The best and the median cell")
    yield html.legend(
        [
            (edge_swatch("adds"), "is added"),
            (edge_swatch("gates"), "multiplies what enters, as a gate"),
            (edge_swatch("keeps"), "factor on its own past"),
        ]
    )
    yield html.panels(panels, 330)
    yield html.paragraph(
        "The median one is that whose accuracy is the median of the last third of the complete trials. Numbers at edges"
        " are kernels; 'sep.' is a depth-separable convolution.",
        "small",
    )


def _drawn(name: str, trial: FrozenTrial) -> Iterator[str]:
    if "spec" not in trial.user_attrs:
        return
    spec = spec_from_json(trial.user_attrs["spec"])
    for areas, area, receives in cells_of(spec)[:2]:
        facts = [("areas", ", ".join(map(printable, areas))), *_facts(trial, spec)]
        if isinstance(area.cell, Reciprocal):
            facts += factors(area.cell)
        yield (
            html.heading(f"{name}: trial {trial.number}, {trial.value:.1%}", 3)
            + draw_cell(area, receives)
            + html.definitions(facts)
        )


def _facts(trial: FrozenTrial, spec: NetworkSpec) -> list[tuple[str, str]]:
    back = [f"{c.source} \N{RIGHTWARDS ARROW} {c.target}" for c in spec.connections if c.kind == "feedback"]
    facts = [
        ("steps", str(spec.steps)),
        ("readout", spec.readout.tag),
        ("feedback", printable(", ".join(back)) or "none"),
    ]
    for key, value in trial.params.items():
        if key.startswith("recipe."):
            facts.append((key.removeprefix("recipe."), f"{value:.3g}" if isinstance(value, float) else str(value)))
    return facts


def _costs(study: Study, done: Sequence[FrozenTrial]) -> Iterator[str]:
    drawn = []
    for key, label in (("parameters", "parameters"), ("flops", "FLOPs of a forward pass, an image")):
        there = [t for t in done if t.user_attrs.get(key, 0) > 0]
        if not there:
            continue
        cost = np.array([t.user_attrs[key] for t in there], dtype=float)
        accuracy = numbers.values(there)
        marks = [Mark(name, t.user_attrs[key], float(t.value or 0)) for name, t in numbers.known_points(there).items()]
        drawn.append(figures.costs(cost, accuracy, numbers.front(cost, accuracy), label, marks))
    if drawn:
        yield html.heading("Accuracy and its cost")
        yield html.legend(
            [(figures.dot_swatch(), "a trial"), (figures.curve_swatch(2), "the front: none is better and cheaper")]
        )
        yield html.panels(drawn, 340)


def _best(done: Sequence[FrozenTrial]) -> Iterator[str]:
    order = sorted(done, key=lambda t: (-(t.value or 0), t.number))[:SHOWN]
    rows = []
    for t in order:
        note = t.user_attrs
        cost = [f"{note[key]:,}" if note.get(key) else "" for key in ("parameters", "flops")]
        took = f"{note['seconds']:,.0f}" if "seconds" in note else ""
        rows.append((str(t.number), f"{t.value:.2%}", *cost, took, printable(note.get("spec_hash", ""))))
    yield html.heading("The best trials")
    yield html.table(("trial", "accuracy", "parameters", "FLOPs an image", "seconds", "spec's hash"), rows)


def _workers(trials: Sequence[FrozenTrial]) -> Iterator[str]:
    spells = numbers.spells(trials)
    if not spells:
        return
    yield html.heading("Trials over time")
    yield html.legend([(figures.bar_swatch(kind), kind) for kind in figures.BARS])
    shown = {printable(worker): one for worker, one in spells.items()}
    drawn = (figures.timeline(shown, width) for width in (figures.BROAD, figures.WIDTH))
    yield html.figure(html.fitting(*drawn), f"The trials of each of {len(spells)} workers.")
    if failed := numbers.reasons(trials):
        yield html.table(
            ("what came of it", "trials", "for example"),
            [(printable(kind), f"{n:,}", figures.clipped(printable(reason), 90)) for kind, reason, n in failed],
        )


def _about(study: Study, trials: Sequence[FrozenTrial]) -> list[tuple[str, str]]:
    counts = Counter(map(outcome_of, trials))
    search, known = study.search, study.attributes
    begun = [t.datetime_start for t in trials if t.datetime_start is not None]
    ended = [t.datetime_complete for t in trials if t.datetime_complete is not None]
    took = [t.user_attrs["seconds"] for t in numbers.complete(trials) if "seconds" in t.user_attrs]
    facts: list[tuple[str, Any]] = [
        ("space", f"{study.space_name}, {len(study.parameters)} parameters"),
        ("sampler", search.sampler),
        ("seed", search.seed),
        ("trials", ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common()) or "none"),
        ("wanted", f"{search.trials:,}"),
        ("budget", _budget(study)),
        ("objective", f"{search.objective.tag}, {study.recipe.epochs} epochs"),
    ]
    if begun and ended:
        first, last = min(begun), max(ended)
        facts.append(("time", f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}, {_long(last - first)}"))
    if took:
        facts.append(("a trial", f"{np.median(took):.3g} s (median)"))
    facts += [("commit", known.get("commit") or "unknown")]
    facts += [(f"version of {name}", version) for name, version in dict(known.get("versions") or {}).items()]
    return [(name, printable(value)) for name, value in facts]


def _budget(study: Study) -> str:
    search = study.search
    parts = []
    if search.max_parameters is not None:
        parts.append(f"at most {search.max_parameters:,} parameters")
    if search.max_mflop is not None:
        parts.append(f"at most {search.max_mflop:,g} MFLOP an image")
    return ", ".join(parts) or "none"


def _long(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


def _too_few(count: int, what: str) -> str:
    said = f"There are no {what} of {count} complete trials; they are shown from {numbers.LEAST} on."
    return html.paragraph(said, "small")
