"""`ventral transfer`: what a linear readout of a network's features tells of the classes of another image set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.output import Result, begin, show
from ventralstream.cli.config import CONFIG
from ventralstream.cli.opened import open_told, refuse_twice
from ventralstream.errors import VentralError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ventralstream.brain.behaviour.accuracy import AccuracyCurve
    from ventralstream.probes import Transfer


def transfer(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help=f"{options.NETWORK_HELP}.")],
    data: Annotated[str, typer.Option(help="Image set: cifar10, cifar100, folder, packed or scenes.")] = "cifar100",
    root: options.Root = None,
    areas: Annotated[
        str | None,
        typer.Option(help="Areas, e.g. 'V4,IT'.", show_default="what the readout reads: the penultimate features"),
    ] = None,
    steps: options.Steps = None,
    record_steps: Annotated[
        str | None, typer.Option(help="Steps to read at, e.g. '5,6,10-15'.", show_default="all that the image drives")
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option(
            help="Of each map: mean or max (over space), or flatten.", show_default="as the network's own readout does"
        ),
    ] = None,
    standardise: Annotated[
        bool, typer.Option(help="Bring each feature to mean 0 and standard deviation 1, or leave it as it is.")
    ] = True,
    subset: options.Subset = None,
    test_subset: Annotated[
        int | None,
        typer.Option(
            help="Test on so many images only.",
            show_default="all",
            callback=options.at_least(1, "leave it out for all"),
        ),
    ] = None,
    batch_size: options.BatchSize = 64,
    workers: options.Workers = 2,
    seed: options.Seed = 0,
    split_seed: Annotated[int, typer.Option("--split-seed", help="Seed of the choice of validation images.")] = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Measure how well a linear readout of a network's features tells the classes of another image set, step by step.

    E.g. `ventral transfer cornet_s:published --data cifar100 --root DIR`. The network is left as it is. Multinomial
    logistic regression is fitted to the features of the set's training images, with the best of ten C (0.0005 to 0.05)
    on a fifth of them, and tested on its test images (docs/how-to/weights.md says what is published of this procedure).
    """
    begin(out, figure, threads)
    if split_seed < 0:
        raise VentralError(f"--split-seed is {split_seed}; expected at least 0")
    from ventralstream import probes
    from ventralstream.cli.extract import steps_of
    from ventralstream.progress import stderr_console

    kept = None if record_steps is None else steps_of(record_steps)
    how: Any = reduce
    asked: dict[str, Any] = {"areas": options.listed(areas), "steps": steps, "record_steps": kept, "reduce": how}
    there = [open_told(model, seed) for model in models]
    refuse_twice([opened.name for opened, _ in there])
    for opened, _ in there:
        probes.check_asked(opened.network, **asked)
    found: dict[str, Transfer] = {}
    weights: dict[str, str] = {}
    notes: list[str] = []
    failed: BaseException | None = None
    for opened, note in there:
        try:
            done = probes.transfer(
                opened.network,
                data,
                root,
                **asked,
                standardise=standardise,
                subset=subset,
                test_subset=test_subset,
                seed=split_seed,
                batch_size=batch_size,
                workers=workers,
                device=device,
                console=stderr_console(),
            )
        except (VentralError, KeyboardInterrupt) as error:
            if not found:
                raise
            failed = error  # what was computed of the models before it is shown first
            break
        found[opened.name], weights[opened.name] = done, opened.weights
        notes += [f"{opened.name}: {n}" for n in done.notes] + ([note] if note else [])
    one = next(iter(found.values()))
    chance = 1 / len(one.classes)
    title = (
        f"{data}, {len(one.classes)} classes: fitted on {one.train + one.validation:,} images (C chosen on"
        f" {one.validation:,} of them), tested on {one.test:,}; features "
        + ("standardised" if standardise else "as they are")
    )
    rows = [
        (name, p.area, str(p.step), f"{p.time_ms:g}", f"{p.c:g}", f"{p.validation:.1%}", f"{p.accuracy:.1%}")
        for name, t in found.items()
        for p in t.probes
    ]
    show(
        Result(
            title,
            ("model", "area", "step", "ms", "C", "validation", "test"),
            rows,
            {"command": "transfer", "models": [_to_json(n, weights[n], t) for n, t in found.items()]},
            lambda: _figure(found, chance, data if root is None or data.startswith("cifar") else root.name),
            [f"chance is {chance:.1%}", *notes],
        ),
        as_json,
        out,
        figure,
    )
    if failed is not None:
        raise failed


def _to_json(name: str, weights: str, done: Transfer) -> dict[str, Any]:
    from ventralstream.probes import CS, MOST_ITERATIONS

    probes = [
        {
            "area": p.area,
            "step": p.step,
            "ms": p.time_ms,
            "c": p.c,
            "validation": p.validation,
            "test": p.accuracy,
            "unconverged": p.unconverged,
        }
        for p in done.probes
    ]
    return {
        "model": name,
        "weights": weights,
        "data": done.data,
        "classes": done.classes,
        "images": {"train": done.train, "validation": done.validation, "test": done.test},
        "standardised": done.standardised,
        "reduce": done.reduce,
        "split_seed": done.seed,
        "c_tried": CS,
        "most_iterations": MOST_ITERATIONS,
        "notes": done.notes,
        "probes": probes,
    }


def _figure(found: dict[str, Transfer], chance: float, data: str) -> Figure:
    from ventralstream.report.courses import Course, courses

    curves = [
        Course.of(name if len({p.area for p in done.probes}) == 1 else f"{name} {area}", _curve(done, area))
        for name, done in found.items()
        for area in dict.fromkeys(p.area for p in done.probes)
    ]
    return courses(
        curves,
        y_label="share of test images right",
        x_label="time of the features (ms)",
        chance=chance,
        title=f"Linear readout of {data}" + (f": {next(iter(found))}" if len(curves) == 1 else ""),
    )


def _curve(done: Transfer, area: str) -> AccuracyCurve:
    import numpy as np

    from ventralstream.brain import accuracy_curve

    probes = [p for p in done.probes if p.area == area]
    right = np.concatenate([p.right for p in probes]).astype(float)
    times = np.concatenate([np.full(len(p.right), p.time_ms) for p in probes])
    return accuracy_curve(right, times, x_name="time (ms)")
