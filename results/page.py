"""docs/results.md and its figures, made of the logs and of the provenance of the networks in the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import networks_in_the_box
import search_studies
from plan import Claim, Comparison, Plan, Run
from scipy.stats import t

from ventralstream.files import write_text
from ventralstream.report.plots import COLOURS, INK, MARKERS, look, new_figure, save

FIGURES = Path("images") / "results"
LEVEL = 0.95
MAIN = "cifar10"  # the recipe of all claims but that of the demo
HELD, OPPOSITE, UNDECIDED, MISSING = "held", "the opposite", "undecided", "missing"
Logs = Mapping[str, Any]

INTRO = """# Results

What the papers say of recurrent networks, asked of small ones: {parameters} parameters, one or two epochs of
CIFAR-10, {pflop} PFLOP a run. Small and short runs were chosen so that each network can be trained several times;
what holds here need not hold for large networks that are trained to the end, nor the reverse.

* **Networks**: `results/networks.py`. Where a table says "matched", the two have as many parameters, to 1 %.
* **Recipe**: `results/cifar10.yaml`, the same for all (Muon, batches of 250, all driven steps learn); the networks of
  some claims are trained for one epoch only, `results/runs.yaml` says which. Those of the demo have the demo's.
* **Learning rate**: chosen for each network from {rates} (or what the table at the end says) by its accuracy on
  5,000 images held out of the training set after one short run on 15,000 others. The test images have no part in it.
* **Accuracy**: of the last step, on the 10,000 test images, single crop. ± is half the {level:.0%} interval of the mean
  (Student's t) over n seeds.
* **Difference**: between two networks in points, seed by seed (a seed sets the weights, the order of the images and
  their augmentation), with its {level:.0%} interval over the n pairs.
* **Rule**: a comparison *held* if the whole interval is on the side that the claim says (for "about the same": within
  the points said); *the opposite* held if it is wholly on the other side; else it is *undecided*. A single seed
  decides nothing. With three seeds only differences that are large, or very regular, can be decided. With a dagger
  (†) the less accurate one took the first or the last of its learning rates: one beyond might have been better for it.

Trained so far: {done} of {runs} runs; the rest is marked as missing. `python scripts/results.py run --root DIR` goes
on with them, `python scripts/results.py page` makes this page; the logs are in `results/logs/`.
"""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds; `half` is None for a single one."""

    mean: float
    half: float | None
    n: int


def interval(values: Sequence[float]) -> Interval | None:
    """The mean of some values and half its interval by Student's t; None if there are none."""
    if not values:
        return None
    n = len(values)
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * stdev(values) / n**0.5 if n > 1 else None
    return Interval(mean(values), half, n)


def accuracies(plan: Plan, logs: Logs, network: str, images: str = "clean") -> dict[int, float]:
    """Accuracy in percent by seed."""
    there = {seed: logs.get(Run(network, seed).name) for seed in plan.networks[network].seeds}
    return {
        seed: 100 * (log["accuracy"] if images == "clean" else log["hard"][images])["decision"]
        for seed, log in there.items()
        if log is not None
    }


def differences(plan: Plan, logs: Logs, c: Comparison) -> list[float]:
    """What a comparison is about, in points, for each seed that all it needs was trained with."""

    def advantage(images: str) -> dict[int, float]:
        one, other = (accuracies(plan, logs, name, images) for name in (c.better, c.than))
        return {seed: one[seed] - other[seed] for seed in one if seed in other}

    there = advantage(c.images)
    if c.over is None:
        return list(there.values())
    elsewhere = advantage(c.over)
    return [value - elsewhere[seed] for seed, value in there.items()]


def verdict(c: Comparison, found: Interval | None) -> str:
    """What the rule says of a comparison."""
    if found is None:
        return MISSING
    if found.half is None:
        return UNDECIDED
    low, high = found.mean - found.half, found.mean + found.half
    if c.within is not None:
        inside, outside = -c.within <= low and high <= c.within, high < -c.within or low > c.within
        return HELD if inside else OPPOSITE if outside else UNDECIDED
    return HELD if low > 0 else OPPOSITE if high < 0 else UNDECIDED


def sentence(verdicts: Sequence[str]) -> str:
    """What the rule says of a claim."""
    count = {kind: verdicts.count(kind) for kind in (HELD, OPPOSITE, UNDECIDED, MISSING)}
    if count[MISSING] == len(verdicts):
        return "**Not trained yet.**"
    if count[HELD] == len(verdicts):
        whole = "The claim held at this scale"
    elif count[HELD]:
        whole = "The claim held in part at this scale"
    elif count[OPPOSITE]:
        whole = "The claim did not hold at this scale"
    else:
        whole = "The claim is undecided at this scale"
    told = [f"{n} {kind}" for kind, n in count.items() if n]
    return f"**{whole}**: of {len(verdicts)} comparison{'s' * (len(verdicts) > 1)}, {', '.join(told)}."


def write_page(plan: Plan, logs: Logs, docs: Path) -> Path:
    """Writes the page and its figures into a folder of documents; gives the page's path."""
    (docs / FIGURES).mkdir(parents=True, exist_ok=True)
    for claim in plan.claims:
        if trained(plan, logs, claim):
            draw(plan, logs, claim, docs / FIGURES / f"{claim.name}.svg")
    networks_in_the_box.draw(docs / FIGURES)
    search_studies.draw(docs / FIGURES)
    path = docs / "results.md"
    write_text(path, page(plan, logs))
    return path


def trained(plan: Plan, logs: Logs, claim: Claim) -> list[str]:
    """The networks of a claim of which there is a log."""
    return [name for name in claim.networks if accuracies(plan, logs, name)]


def page(plan: Plan, logs: Logs) -> str:
    """The page."""
    main = {name for name, network in plan.networks.items() if network.recipe == MAIN}
    seeds = [log for name, log in logs.items() if "/seed" in name and name.partition("/")[0] in main]
    intro = INTRO.format(
        parameters=_range([log["parameters"] for log in seeds], ",.0f"),
        pflop=_range([log["pflop"] for log in seeds], ".2g"),
        rates=", ".join(f"{rate:g}" for rate in plan.recipes[MAIN].rates),
        level=LEVEL,
        done=sum(run.name in logs for run in plan.runs()),
        runs=len(plan.runs()),
    )
    box = networks_in_the_box.section(FIGURES.as_posix())
    search = search_studies.section(FIGURES.as_posix(), plan)
    return "\n".join([intro, box, search, *(_section(plan, logs, claim) for claim in plan.claims), _rates(plan, logs)])


def _section(plan: Plan, logs: Logs, claim: Claim) -> str:
    found = [interval(differences(plan, logs, c)) for c in claim.comparisons]
    verdicts = [verdict(c, f) for c, f in zip(claim.comparisons, found, strict=True)]
    lines = [f"## {claim.title}", "", f"{claim.paper}: {claim.claim}", "", sentence(verdicts), ""]
    lines += [claim.note.strip(), ""] if claim.note else []
    if trained(plan, logs, claim):
        lines += [f"![{claim.title}]({FIGURES.as_posix()}/{claim.name}.svg)", ""]
    others = _conditions(claim)[1:]
    head = ["network", "parameters", "PFLOP", "n", "accuracy, %", *(f"{images}, %" for images in others)]
    lines += [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for name in claim.networks:
        some = next(
            (logs[r.name] for r in plan.runs() if r.network == name and r.seed is not None and r.name in logs), None
        )
        label, values = plan.networks[name].label, accuracies(plan, logs, name)
        if some is None:
            lines.append(_row([label, *[MISSING] * (len(head) - 1)]))
            continue
        numbers = [_accuracy(accuracies(plan, logs, name, images)) for images in ("clean", *others)]
        lines.append(_row([label, f"{some['parameters']:,}", f"{some['pflop']:.2g}", str(len(values)), *numbers]))
    lines += ["", _row(["expected", "difference, points", "n", "verdict"]), _row(["---", "---:", "---:", "---"])]
    for c, f, told in zip(claim.comparisons, found, verdicts, strict=True):
        doubt = " †" if f is not None and _at_the_edge(plan, logs, c.than if f.mean > 0 else c.better) else ""
        lines.append(
            _row([_expected(plan, c), MISSING if f is None else _points(f), str(f.n if f else 0), told + doubt])
        )
    return "\n".join([*lines, ""])


def _conditions(claim: Claim) -> list[str]:
    """The kinds of images that a claim is about, clean ones first."""
    return list(dict.fromkeys(["clean", *(i for c in claim.comparisons for i in (c.images, c.over) if i)]))


def _expected(plan: Plan, c: Comparison) -> str:
    one, other = (plan.networks[name].label for name in (c.better, c.than))
    told = f"{one} > {other}" if c.within is None else f"{one} = {other} to {c.within:g} points"
    if c.over is not None:
        told += f", more on {c.images} images than on {c.over} ones"
    elif c.images != "clean":
        told += f", {c.images} images"
    return told + (" (matched)" if c.matched else "")


def _accuracy(values: Mapping[int, float]) -> str:
    found = interval(list(values.values()))
    assert found is not None
    return f"{found.mean:.1f}" + ("" if found.half is None else f" ± {found.half:.1f}")


def _points(found: Interval) -> str:
    if found.half is None:
        return f"{found.mean:+.1f}"
    return f"{found.mean:+.1f} ({found.mean - found.half:+.1f} to {found.mean + found.half:+.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _range(values: Sequence[float], form: str) -> str:
    ends = list(dict.fromkeys(format(v, form) for v in (min(values), max(values)))) if values else ["no"]
    return " to ".join(ends)


def _rates(plan: Plan, logs: Logs) -> str:
    rates = sorted({rate for name in plan.networks for rate in plan.rates(name) if plan.choice(name)})
    table = [_row(["network", *(f"{rate:g}" for rate in rates)]), _row(["---"] + ["---:"] * len(rates))]
    at_the_edge = 0
    for name, network in plan.networks.items():
        if not (runs := {run.rate: run.name for run in plan.choice(name)}):
            continue
        best = _best_rate(plan, logs, name)
        at_the_edge += _at_the_edge(plan, logs, name)
        cells = []
        for rate in rates:
            if rate not in runs:
                cells.append("")
                continue
            run = runs[rate]
            said = f"{100 * logs[run]['accuracy']['decision']:.1f}" if run in logs else MISSING
            cells.append(f"**{said}**" if rate == best else said)
        table.append(_row([f"{network.label} (`{name}`)", *cells]))
    told = (
        "Accuracy in % on the held-out images after a short run; the one that was taken is bold. For"
        f" {at_the_edge} of the networks it is the first or the last."
    )
    return "\n".join(["## Learning rates", "", told, "", *table, ""])


def _at_the_edge(plan: Plan, logs: Logs, network: str) -> bool:
    """Whether a network's rate is the first or the last of those that it was chosen from."""
    rates = plan.rates(network)
    return _best_rate(plan, logs, network) in (rates[0], rates[-1])


def _best_rate(plan: Plan, logs: Logs, network: str) -> float | None:
    """The rate that was chosen for a network; None if there was no choice, or not all of its runs are done."""
    runs = plan.choice(network)
    return plan.best_rate(network, logs) if runs and all(run.name in logs for run in runs) else None


def draw(plan: Plan, logs: Logs, claim: Claim, path: Path) -> None:
    """A figure of a claim: for each kind of images, each network's seeds and mean, and accuracy by step."""
    names, conditions = trained(plan, logs, claim), _conditions(claim)
    height = max(2.3, 0.9 + 0.24 * len(names))
    with look():
        figure = new_figure(8.4, height * len(conditions) + (0.5 if len(names) > 5 else 0))
        grid = figure.subplots(len(conditions), 2, squeeze=False)
        for (dots, steps), images in zip(grid, conditions, strict=True):
            for i, name in enumerate(names):
                colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
                values = list(accuracies(plan, logs, name, images).values())
                found = interval(values)
                assert found is not None
                dots.plot(values, [i] * len(values), marker, color=colour, alpha=0.55, linestyle="none")
                if found.half is not None:
                    dots.errorbar(found.mean, i, xerr=found.half, color=INK, capsize=3, linewidth=1.2)
                curve = _by_step(plan, logs, name, images)
                dashed = "-" if i < len(COLOURS) else "--"
                steps.plot(list(curve), list(curve.values()), dashed, marker=marker, color=colour)
                if len(curve) == 1:  # a single answer: shown as a level
                    steps.axhline(next(iter(curve.values())), color=colour, linestyle=":", linewidth=1)
            dots.set_yticks(range(len(names)), [plan.networks[name].label for name in names])
            dots.set(ylim=(len(names) - 0.5, -0.5), xlabel="accuracy at the last step, %", title=f"{images} images")
            steps.set(xlabel="step", ylabel="accuracy, %", title="by step, mean of the seeds")
            steps.xaxis.get_major_locator().set_params(integer=True)
    save(figure, path)


def _by_step(plan: Plan, logs: Logs, name: str, images: str) -> dict[int, float]:
    """Accuracy in percent at each driven step, the mean over seeds."""
    there = [logs[r.name] for r in (Run(name, s) for s in plan.networks[name].seeds) if r.name in logs]
    by_step = [(log["accuracy"] if images == "clean" else log["hard"][images])["by_step"] for log in there]
    return {int(step): 100 * mean(log[step] for log in by_step) for step in by_step[0]}
