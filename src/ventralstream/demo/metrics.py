"""Everything that was measured, as plain numbers: what `metrics.json` holds and the report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ventralstream.cost import cost
from ventralstream.demo import early_exit as exits
from ventralstream.demo.compare import (
    RESAMPLES,
    RULE,
    Interval,
    Verdict,
    accuracy,
    bootstrap_mean,
    paired_difference,
    verdict,
)
from ventralstream.demo.experiment import CLUTTER, FEEDFORWARD, MINIMAL, NETWORKS, RECURRENT, Run
from ventralstream.training.provenance import provenance

CONTROLS = (FEEDFORWARD, MINIMAL)


def metrics(run: Run) -> dict[str, Any]:
    """All numbers of a run, JSON-able; accuracies and differences are fractions, intervals are of 95 %."""
    last = {name: run.correct(name)[..., -1].T for name in NETWORKS}  # [N, L]
    seed = run.settings.seed
    comparisons = [_comparison(run, last, control) for control in CONTROLS]
    answer = verdict([Interval(c["difference"], *c["ci95"]) for c in comparisons])
    overall = {name: _interval(bootstrap_mean(last[name].astype(float), seed)) for name in NETWORKS}
    networks = {name: {**_facts(run, name), **overall[name]} for name in NETWORKS}
    return {
        "verdict": {
            "answer": answer,
            "sentence": sentence(answer, networks, comparisons, last[RECURRENT].size),
            "rule": RULE,
            "bootstrap_resamples": RESAMPLES,
            "comparisons": comparisons,
        },
        "early_exit": _early_exit(run),
        "networks": networks,
        "accuracy": [row for name in NETWORKS for row in _accuracies(run, name)],
        "answer_changes": {name: answer_changes(run.correct(name)) for name in NETWORKS},
        "confusion": {name: _confusions(run, name) for name in NETWORKS},
        "settings": asdict(run.settings),
        "seconds": {name: round(value, 2) for name, value in run.seconds.items()},
        "quick": run.settings.quick,
        **provenance(),
        "torch_threads": torch.get_num_threads(),
    }


def sentence(
    answer: Verdict, networks: dict[str, dict[str, Any]], comparisons: Sequence[dict[str, Any]], scenes: int
) -> str:
    """The verdict in words, with the numbers it comes from."""
    ours = networks[RECURRENT]
    than = {
        FEEDFORWARD: "a feedforward network with about as many parameters",
        MINIMAL: f"the same network trained with its fewest steps, {networks[MINIMAL]['steps']}",
    }
    parts = []
    for c in comparisons:
        points, (low, high) = 100 * c["difference"], (100 * b for b in c["ci95"])
        size = f"{abs(points):.1f} points {'more' if points >= 0 else 'fewer'} than {than[c['control']]}"
        clear = "" if low > 0 or high < 0 else ", which is no clear difference"
        parts.append(f"{size} (95 % interval {signed(low)} to {signed(high)}{clear})")
    return (
        f"{HEADLINES[answer]}: after {ours['steps']} steps the recurrent network was right about"
        f" {100 * ours['accuracy']:.1f} % of {scenes:,} scenes it had never seen, {', and '.join(parts)}."
    )


def _early_exit(run: Run) -> dict[str, Any]:
    found = exits.early_exit(
        run.probabilities[RECURRENT], run.correct(RECURRENT), run.steps(RECURRENT), run.settings.seed
    )
    dt_ms = run.networks[RECURRENT].spec.dt_ms
    points, (low, high) = 100 * found.difference.value, (100 * b for b in (found.difference.low, found.difference.high))
    return {
        "answer": found.answer,
        "sentence": (
            f"Early exit {found.answer}: answering each scene once the network was {exits.THRESHOLD:.0%} sure took"
            f" {found.mean_step * dt_ms:.0f} ms on average and was right about {100 * found.accuracy:.1f} %,"
            f" {abs(points):.1f} points {'more' if points >= 0 else 'fewer'} than answering every scene at that time"
            f" (95 % interval {signed(low)} to {signed(high)})."
        ),
        "rule": exits.RULE,
        "threshold": exits.THRESHOLD,
        "difference": found.difference.value,
        "ci95": [found.difference.low, found.difference.high],
        "accuracy": found.accuracy,
        "accuracy_at_mean_time": found.accuracy_at_mean,
        "mean_time_ms": found.mean_step * dt_ms,
        "mean_time_ms_per_clutter": [step * dt_ms for step in found.mean_step_per_clutter],
        "share_per_step": dict(zip(map(str, run.steps(RECURRENT)), found.share_per_step, strict=True)),
    }


HEADLINES: dict[Verdict, str] = {
    "helped": "Recurrence helped in this run",
    "did not help": "Recurrence did not help in this run",
    "no clear difference": "Recurrence made no clear difference in this run",
}


def signed(points: float) -> str:
    """A difference in percentage points with its sign, "+1.2" or "−0.4"."""
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")


def answer_changes(correct: NDArray[np.bool_]) -> dict[str, int]:
    """How many answers were right or wrong at the first and the last step; `correct` is [L, N, T']."""
    first, last = correct[..., 0], correct[..., -1]
    return {
        "scenes": int(first.size),
        "wrong_to_right": int((~first & last).sum()),
        "right_to_wrong": int((first & ~last).sum()),
        "right_at_both": int((first & last).sum()),
        "wrong_at_both": int((~first & ~last).sum()),
    }


def _comparison(run: Run, last: dict[str, NDArray[np.bool_]], control: str) -> dict[str, Any]:
    def difference(levels: slice) -> dict[str, Any]:
        found = paired_difference(last[RECURRENT][:, levels], last[control][:, levels], run.settings.seed)
        return {"difference": found.value, "ci95": [found.low, found.high]}

    return {
        "control": control,
        **difference(slice(None)),
        "per_clutter": [{"clutter": level, **difference(slice(i, i + 1))} for i, level in enumerate(CLUTTER)],
    }


def _facts(run: Run, name: str) -> dict[str, Any]:
    network = run.networks[name]
    spent, shapes = cost(network.spec)[0], network.spec.shapes()
    return {
        "parameters": spent.parameters,
        "channels": [shapes.output[area.name][0] for area in network.spec.areas[:-1]],
        "steps": network.spec.steps,
        "first_answer_step": run.steps(name).start,
        "dt_ms": network.spec.dt_ms,
        "area_steps_naive": spent.area_steps_naive,
        "area_steps_planned": spent.area_steps_planned,
        "flops_naive": spent.flops_naive,
        "flops_planned": spent.flops_planned_batched,
        "training_seconds": round(run.seconds[name], 2),
    }


def _accuracies(run: Run, name: str) -> list[dict[str, Any]]:
    dt_ms = run.networks[name].spec.dt_ms
    correct = run.correct(name)
    return [
        {
            "network": name,
            "clutter": level,
            "step": step,
            "time_ms": step * dt_ms,
            "n": correct.shape[1],
            "correct": int(correct[i, :, j].sum()),
            **_interval(accuracy(int(correct[i, :, j].sum()), correct.shape[1])),
        }
        for i, level in enumerate(CLUTTER)
        for j, step in enumerate(run.steps(name))
    ]


def _confusions(run: Run, name: str) -> dict[str, list[list[int]]]:
    """Counts over all levels of clutter, rows the digit shown and columns the answer."""
    answers, shown = run.probabilities[name].argmax(-1), run.labels()
    found = {}
    for which, j in (("first", 0), ("last", -1)):
        counts = np.zeros((10, 10), int)
        np.add.at(counts, (shown, answers[..., j]), 1)
        found[which] = counts.tolist()
    return found


def _interval(found: Interval) -> dict[str, Any]:
    return {"accuracy": found.value, "ci95": [found.low, found.high]}
