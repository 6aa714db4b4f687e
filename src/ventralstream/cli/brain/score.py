"""`ventral brain score`: neural predictivity of models, corrected for the recordings' noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import open_recordings
from ventralstream.cli.brain.models import LINE_EVERY, FeatureOptions, at_one_time, named_as, open_features
from ventralstream.cli.brain.output import Result, begin, nanmean, number, show
from ventralstream.cli.config import CONFIG
from ventralstream.errors import VentralError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

    from ventralstream.brain.score import Score


def score(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help=options.MODEL_HELP)],
    data: Annotated[str, typer.Option(help="Recordings: e.g. 'macaque-v4:210325', or a NetCDF or NWB file.")],
    root: options.Root = None,
    images: options.Images = None,
    stimulus: options.Stimulus = None,
    areas: options.Areas = None,
    region: Annotated[str | None, typer.Option(help="Only neurons of this region.", show_default="all")] = None,
    window: Annotated[
        str | None, typer.Option(help="Only the time bins within these ms, e.g. '70-170'.", show_default="all")
    ] = None,
    mapping: Annotated[str, typer.Option(help="pls (25 components), ridge or ridge_cv.")] = "pls",
    over_time: Annotated[str, typer.Option(help="A map per_bin, or one shared by all time bins.")] = "per_bin",
    correction: Annotated[
        str,
        typer.Option(
            help="raw, r_over_ceiling, r_over_ceiling_squared, r2_over_ceiling, half_to_half or full_to_full."
        ),
    ] = "r2_over_ceiling",
    splits: options.Splits = 10,
    stratify: Annotated[
        str | None, typer.Option(help="Coordinate whose proportions each split keeps, e.g. object_name.")
    ] = None,
    resamples: options.Resamples = 1000,
    moment: Annotated[
        str,
        typer.Option(
            help="For recordings without time: the mean of the steps that the image drives, the last, or a number."
        ),
    ] = "mean",
    match: Annotated[str, typer.Option(help="Steps of the model for a time bin: those within it, or nearest.")] = (
        "within"
    ),
    delay_ms: Annotated[float, typer.Option(help="How much later the neurons are than the model.")] = 0.0,
    assign: Annotated[
        bool, typer.Option("--assign", help="Choose each model's area on one half of the neurons, score the other.")
    ] = False,
    steps: options.Steps = None,
    reduce: options.Reduce = "none",
    projection: options.Projection = 1000,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    split_seed: options.SplitSeed = 1,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Score how well linear maps of models' features predict recorded neurons on held-out images.

    An area that cannot be scored (for example with fewer features than PLS has components) is named, with the reason;
    the others are scored.

    A figure shows time courses under the ceiling, or, of recordings without time, each area's score and the neurons.
    """
    begin(out, figure, threads)
    from ventralstream.brain import CORRECTIONS, assign_areas, select
    from ventralstream.brain.mapping.predictivity import mapping_named, predictivity, unscored
    from ventralstream.brain.recordings.reliability import correction_named
    from ventralstream.device import choose_device
    from ventralstream.progress import Progress

    mapping_named(mapping), correction_named(correction)  # before the models run
    computes = choose_device(device)
    recorded = open_recordings(data, root, images, stimulus=stimulus)
    recordings = recorded.recordings
    if region is not None:
        recordings = select(recordings, region=region)
    if window is not None:
        recordings = _window(recordings, window)
    taken = FeatureOptions(areas, steps, reduce, projection, batch_size, seed, device)
    how: Any = {
        "mapping": mapping,
        "over_time": over_time,
        "correction": correction,
        "splits": splits,
        "stratify": stratify,
        "seed": split_seed,
        "resamples": resamples,
    }
    given = open_features(models, recorded.images, taken, recorded.name)
    found: list[_Found] = []
    total, tried = sum(len(m.areas) for m in given), 0
    with Progress("scoring", total, "areas", every=LINE_EVERY) as progress:
        mapped: Any = {**how, "device": None if computes.type == "mps" else computes}  # which has no float64
        for model in given:
            fitted: dict[str, DataArray] = {}
            for area, values in model.areas.items():
                tried += 1
                try:
                    fitted[area] = _in_time(named_as(values, recordings), recordings, moment, match, delay_ms)
                    if not assign:
                        one = predictivity(fitted[area], recordings, **mapped)
                        found.append(_Found(model.name, model.weights, area, fitted[area], one))
                except VentralError as error:
                    found.append(_Found(model.name, model.weights, area, values, unscored(error), error))
                else:
                    progress.update(tried, f"{model.name} {area}")
            if assign and fitted:
                for where, assigned in assign_areas(fitted, recordings, **mapped).items():
                    area = f"{assigned.area} for {where}"
                    found.append(_Found(model.name, model.weights, area, fitted[assigned.area], assigned.score))
        scored = [f for f in found if f.error is None]
        if not scored:
            raise next(f.error for f in found if f.error is not None)
        if progress.done < total:  # the last ones could not be scored
            progress.update(total)

    first = scored[0].score
    n = dict(first.n)
    timed = "time_bin" in recordings.dims
    title = (
        f"{recorded.name}: {n['neuroids']} neurons{' (one half of them)' if assign else ''}, {n['stimuli']} stimuli,"
        f" {n['repetitions']} repetitions{', means over ' + str(n['time_bins']) + ' time bins' if timed else ''};"
        f" {mapping}, {n['splits']} splits, {correction}: {CORRECTIONS[correction].formula}"
    )
    notes = [f"{f.model} {f.area}: {f.score.reason}" for f in found if f.score.reason]
    notes += [m.note for m in given if m.note]
    if CORRECTIONS[correction].apply is not None and any(nanmean(f.score.raw) < 0 for f in scored):
        notes.append("a negative score: the predictions go against the responses; the sign is that of r")
    if timed and recorded.images is not None:
        notes.append(f"to see neurons beside units in time: ventral explore MODEL --data {data} --out page.html")
    left_out = n.get("neuroids_missing", 0) + n.get("neuroids_no_variance", 0)
    if left_out:
        notes.append(f"{left_out} neurons left out: without variance, or with missing responses")
    parts = [{"model": f.model, "weights": f.weights, "area": f.area, **f.score.to_json()} for f in found]
    options_ = {**how, "moment": None if timed else moment, "match": match if timed else None, "delay_ms": delay_ms}
    taken_ = {"steps": steps, "reduce": reduce, "projection": projection, "feature_seed": seed}
    show(
        Result(
            title,
            ("model", "area", "features", "raw", "ceiling", "score", "95 % interval"),
            [f.row() for f in found],
            {"command": "score", "data": recorded.name, "options": {**options_, **taken_}, "scores": parts},
            lambda: _figure(scored, recordings, how, timed),
            list(dict.fromkeys(notes)),
        ),
        as_json,
        out,
        figure,
    )


class _Found:
    """A model area's score and what it is of; the error, if it could not be scored."""

    def __init__(
        self,
        model: str,
        weights: str,
        area: str,
        features: DataArray,
        score: Score,
        error: VentralError | None = None,
    ) -> None:
        self.model, self.weights, self.area, self.features, self.score = model, weights, area, features, score
        self.error = error

    @property
    def name(self) -> str:
        """Model and area, as one name."""
        return self.model if self.area == self.model else f"{self.model} \N{MIDDLE DOT} {self.area}"

    @property
    def raw(self) -> float:
        """The raw score, the mean over time bins."""
        return nanmean(self.score.raw)

    def row(self) -> tuple[str, ...]:
        """The row of the table."""
        import numpy as np

        s = self.score
        interval = "-"
        if s.interval is not None and np.ndim(s.value) == 0:
            low, high = np.asarray(s.interval).tolist()
            interval = f"{number(low)} to {number(high)}"
        numbers = (number(nanmean(x)) for x in (s.raw, s.ceiling, s.value))
        return (self.model, self.area, str(self.features.sizes["neuroid"]), *numbers, interval)


def _window(recordings: DataArray, window: str) -> DataArray:
    """The time bins within a window."""
    import numpy as np

    from ventralstream.assembly import time_bins_of
    from ventralstream.brain.recordings.presentations import bins_within

    try:
        start, end = (float(x) for x in window.rsplit("-", 1))
    except ValueError:
        raise VentralError(f"cannot read the window '{window}'; expected something like '70-170'") from None
    bins = np.array(time_bins_of(recordings))
    inside = bins_within(bins, start, end)
    if not len(inside):
        raise VentralError(
            f"no time bin lies within {start:g} to {end:g} ms; they cover {bins.min():g} to {bins.max():g} ms"
        )
    return recordings.isel(time_bin=inside)


def _in_time(features: DataArray, recordings: DataArray, moment: str, match: Any, delay_ms: float) -> DataArray:
    """Features as the recordings are: at their time bins, or without time."""
    from ventralstream.brain import align_time

    if "time_bin" not in recordings.dims:
        return at_one_time(features, moment)
    return align_time(features, recordings, match, delay_ms=delay_ms) if "time_bin" in features.dims else features


def _figure(found: list[_Found], recordings: DataArray, how: dict[str, Any], timed: bool) -> Figure:
    import numpy as np

    from ventralstream.brain import internal_consistency, predictivity
    from ventralstream.report.brain_figures import Bar, Neurons, scores
    from ventralstream.report.courses import Course, courses

    best = {model: max((f for f in found if f.model == model), key=lambda f: f.raw) for model in _models(found)}
    correction = how["correction"]
    words = {
        "raw": "raw r",
        "r_over_ceiling": "r / ceiling",
        "r_over_ceiling_squared": "(r / ceiling)², with the sign of r",
    }
    words |= {"r2_over_ceiling": "r² / ceiling, with the sign of r"}
    said = words.get(correction, correction.replace("_", " ") + ", corrected")
    if timed:
        starts, ends = (recordings[f"time_bin_{side}"].values for side in ("start", "end"))
        x = (starts + ends) / 2
        corrected = [
            Course(
                f.name,
                x,
                np.asarray(f.score.value),
                *(np.asarray(f.score.interval) if f.score.interval is not None else (None, None)),
            )
            for f in best.values()
        ]
        raw = [Course(f.name, x, np.asarray(f.score.raw)) for f in best.values()]
        reliability = found[0].score.ceiling
        under = []
        if reliability is not None:
            c = np.clip(np.asarray(reliability, dtype=float), 0, None)
            under = [Course("most that noise allows", x, np.sqrt(c), ceiling=True)]
        return courses([*raw, *under], y_label="score", title="raw r", panels={said: corrected})
    bars = []
    for f in found:
        interval = np.full(2, np.nan) if f.score.interval is None else np.asarray(f.score.interval, dtype=float)
        bars.append(Bar(f.model, "" if f.area == f.model else f.area, float(f.score), *interval.tolist()))
    reliabilities = np.asarray(internal_consistency(recordings, seed=how["seed"]).per_neuroid)
    panels = []
    for f in best.values():
        if f.score.n["neuroids"] != recordings.sizes["neuroid"]:
            break  # of one half of the neurons, or of the usable ones: they would have to be found again
        raw_ = predictivity(f.features, recordings, **{**how, "correction": "raw", "resamples": 0})
        name = f.model if f.area == f.model else f"{f.model}\n{f.area}"
        panels.append(Neurons(name, f.model, reliabilities, np.asarray(raw_.per_neuroid)))
    return scores(bars, panels, x_label=f"{said} (median over neurons)")


def _models(found: list[_Found]) -> list[str]:
    return list(dict.fromkeys(f.model for f in found))
