"""`ventral brain people`: people's accuracy in time, under occlusion and masking, and a model's beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import known
from ventralstream.cli.brain.models import LINE_EVERY
from ventralstream.cli.brain.output import Result, begin, number, show
from ventralstream.cli.config import CONFIG
from ventralstream.cli.opened import unfinished
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, printable, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

    from ventralstream.brain.behaviour.accuracy import AccuracyCurve

CLASSES = 10  # of CIFAR-10
CATEGORIES = 5  # of the occluded objects


def people(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run on CIFAR-10, to be compared with people's speed and accuracy."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="People's trials: human-speed-accuracy or human-occlusion.")
    ] = "human-speed-accuracy",
    root: options.Root = None,
    form: Annotated[
        str, typer.Option(help="Fit a model's accuracies as they are (absolute), or each over its own best (relative).")
    ] = "relative",
    subset: options.Subset = None,
    steps: options.Steps = None,
    batch_size: options.BatchSize = 250,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Show people's accuracy over time, and fit a model's steps to their milliseconds.

    human-speed-accuracy: naming CIFAR-10 classes at forced response times. human-occlusion: naming occluded objects,
    with a backward mask and without, by the time from image to mask.
    """
    begin(out, figure, threads)
    name = known(data, ["people"])
    if name == "human-occlusion":
        if run is not None:
            raise VentralError(
                "human-occlusion has objects that a CIFAR-10 run does not know; use"
                " ventralstream.brain.trials_under_masking, and leave the run out here"
            )
        result = _occlusion(name, data_root(root, data), seed)
    else:
        result = _speed(name, data_root(root, data), run, form, subset, steps, batch_size, seed, device)
    show(result, as_json, out, figure)


def _speed(
    name: str,
    root: Path,
    run: Path | None,
    form: str,
    subset: int | None,
    steps: int | None,
    batch_size: int,
    seed: int,
    device: str,
) -> Result:
    import numpy as np

    from ventralstream.brain import accuracy_curve, fit_time_mapping, human_speed_accuracy

    if form not in ("absolute", "relative"):
        raise unknown("form", form, ["absolute", "relative"])
    trials = human_speed_accuracy(root)
    condition, level = trials["condition"].values, trials["level"].values
    curves: dict[str, dict[str, AccuracyCurve]] = {}
    for each in np.unique(condition).tolist():
        for strength in np.unique(level[condition == each]).tolist():
            rows = (condition == each) & (level == strength)
            curves.setdefault(each, {})[f"{strength:g}"] = accuracy_curve(
                trials.values[rows],
                trials["time_ms"].values[rows],
                x_name="forced response time (ms)",
                subject=trials["subject"].values[rows],
                seed=seed,
            )
    times = next(iter(next(iter(curves.values())).values())).x
    columns = ("condition", "level", *(f"{t:g} ms" for t in times), "trials")
    table = [
        (each, strength, *(f"{a:.0%}" for a in c.accuracy), str(int(c.n.sum())))
        for each, levels in curves.items()
        for strength, c in levels.items()
    ]
    unanswered = int(np.isnan(trials.values).sum())
    notes = [f"chance is {1 / CLASSES:.0%}; {unanswered} trials without an answer in time are left out"]
    found: dict[str, Any] = {"command": "people", "data": name, "chance": 1 / CLASSES, "unanswered": unanswered}
    found["people"] = {k: {s: c.to_json() for s, c in v.items()} for k, v in curves.items()}
    plain = trials.isel(presentation=np.flatnonzero((level == 0) & (condition != "color_gray")))
    mapping, model = None, None
    if run is not None:
        model = _correct(run, subset, steps, batch_size, device)
        mapping = fit_time_mapping(
            model,
            plain,
            subject="subject",
            form=form,  # type: ignore[arg-type]
            chance=1 / CLASSES,
            resamples=100,
            seed=seed,
        )
        if note := unfinished(run):
            typer.echo(printable(note), err=True)
            notes.append(note)
        accuracy = model.values.mean(0)
        notes.append(
            f"{run.name} on {len(model)} held-out images: "
            + ", ".join(
                f"{a:.1%} at {t:g} ms" for t, a in zip(model["time_bin_start"].values.tolist(), accuracy, strict=True)
            )
        )
        if mapping.reason:
            notes.append(f"no mapping of its steps to people's time: {mapping.reason}")
        else:
            low, high = mapping.scale_interval
            first, last = mapping.offset_interval_ms
            notes.append(
                f"people's time = {mapping.offset_ms:.0f} ms ({first:.0f} to {last:.0f}) + {mapping.scale:.1f}"
                f" ({low:.1f} to {high:.1f}) x the model's, fitted to unperturbed images, {form} accuracies,"
                f" r {mapping.r:.2f}, residual {mapping.residual:.3f}; two free parameters, {len(times)} times"
            )
        found["model"] = {
            "run": str(run),
            "images": len(model),
            "times_ms": model["time_bin_start"].values.tolist(),
            "accuracy": accuracy.tolist(),
            "mapping": mapping.to_json(),
        }

    def draw() -> Figure:
        from ventralstream.report.courses import Course, courses

        panels = {
            each: [Course.of(f"level {strength}", c) for strength, c in levels.items()]
            for each, levels in curves.items()
        }
        if mapping is not None and model is not None:
            compared = [Course("people, unperturbed images", times, mapping.people.values[0])]
            if not mapping.reason:
                x = mapping.time_ms(model["time_bin_start"].values)
                best = (model.values.mean(0) - 1 / CLASSES) / (model.values.mean(0).max() - 1 / CLASSES)
                y = model.values.mean(0) if form == "absolute" else best
                compared.append(Course(f"{run.name if run else ''}, steps fitted to time", x, y))
            title = "accuracy" if form == "absolute" else "accuracy above chance, over its best"
            return courses(compared, y_label=title, x_label="forced response time (ms)")
        first, *rest = panels
        return courses(
            panels[first],
            y_label="share of right answers",
            x_label="forced response time (ms)",
            chance=1 / CLASSES,
            title=first,
            panels={k: panels[k] for k in rest},
        )

    title = f"{name}: {trials.sizes['presentation']} trials of {len(np.unique(trials['subject']))} people"
    return Result(title, columns, table, found, draw, notes)


def _occlusion(name: str, root: Path, seed: int) -> Result:
    import numpy as np

    from ventralstream.brain import accuracy_by_difficulty, human_occlusion, masking_curves

    trials = human_occlusion(root)
    by_soa = masking_curves(trials, subject="subject", seed=seed)
    masked = trials["masked"].values
    by_hidden = {
        label: accuracy_by_difficulty(
            trials.values[rows],
            trials["hidden_percent"].values[rows],
            bins=5,
            subject=trials["subject"].values[rows],
            seed=seed,
        )
        for label, rows in (("no mask", ~masked), ("masked", masked))
    }
    table = [
        (f"{soa:g} ms", f"{u:.1%}", f"{m:.1%}", f"{u - m:+.1%}", str(int(a + b)))
        for soa, u, m, a, b in zip(
            by_soa.unmasked.x,
            by_soa.unmasked.accuracy,
            by_soa.masked.accuracy,
            by_soa.unmasked.n,
            by_soa.masked.n,
            strict=True,
        )
    ]
    hidden = ", ".join(
        f"{x:.0f} %: {number(a, 2)}" for x, a in zip(by_hidden["no mask"].x, by_hidden["no mask"].accuracy, strict=True)
    )
    found = {
        "command": "people",
        "data": name,
        "chance": 1 / CATEGORIES,
        "by_soa": by_soa.to_json(),
        "by_hidden_percent": {k: v.to_json() for k, v in by_hidden.items()},
    }

    def draw() -> Figure:
        from ventralstream.report.courses import Course, courses

        return courses(
            [Course.of("no mask", by_soa.unmasked), Course.of("masked", by_soa.masked)],
            y_label="share of right answers",
            x_label="time from image to mask (SOA, ms)",
            chance=1 / CATEGORIES,
            title="by SOA",
            panels={"by how much of the object is hidden": [Course.of(k, c) for k, c in by_hidden.items()]},
            x_labels={"by how much of the object is hidden": "hidden (%)"},
        )

    title = f"{name}: {trials.sizes['presentation']} trials of {len(np.unique(trials['subject']))} people"
    notes = [f"chance is {1 / CATEGORIES:.0%}", f"without a mask, by how much is hidden: {hidden}"]
    return Result(title, ("SOA", "no mask", "masked", "difference", "trials"), table, found, draw, notes)


def _correct(run: Path, subset: int | None, steps: int | None, batch_size: int, device: str) -> DataArray:
    """Whether the run's network is right at each step, of each held-out image.

    Before the image arrives all it can do is to give one answer to all images: the step before the first driven one is
    there with the answer "class 0" (our choice; its accuracy is that class's share, 10 % of CIFAR-10).
    """
    import torch

    from ventralstream.brain import correct_over_time
    from ventralstream.data import Loader, load_set
    from ventralstream.device import choose_device
    from ventralstream.progress import Progress
    from ventralstream.readout import PerStep
    from ventralstream.training.folder import open_run

    opened = open_run(run)
    if opened.recipe.data != "cifar10":
        raise VentralError(f"people named CIFAR-10 classes; '{run}' was trained on {opened.recipe.data}")
    where = choose_device(device)
    network = opened.load_network().eval().to(where)
    held_out = load_set("cifar10", opened.place.root, "val", subset=subset)
    images = dataclasses.replace(held_out, info=held_out.info.replace(preprocessing=opened.data.preprocessing))
    times: tuple[float, ...] = ()
    logits, labels = [], []
    with torch.no_grad(), Progress("answering", len(images), "images", every=LINE_EVERY) as progress:
        for batch, truth in Loader(images, batch_size, train=False, device=where):
            output = network(batch, steps, readout=PerStep())
            logits.append(output.logits.float().cpu())
            labels.append(truth.cpu())
            times = output.times_ms
            progress.update(progress.done + len(truth))
    over_time = torch.cat(logits)
    over_time = torch.cat([torch.zeros_like(over_time[:, :1]), over_time], 1)
    before = times[0] - network.spec.dt_ms
    right: DataArray = correct_over_time(over_time.numpy(), torch.cat(labels).numpy(), (before, *times))
    return right
