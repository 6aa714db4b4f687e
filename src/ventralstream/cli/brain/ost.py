"""`ventral brain ost`: object solution times of a model against monkey IT's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import is_file, known
from ventralstream.cli.brain.models import LINE_EVERY, FeatureOptions, named_as, open_features
from ventralstream.cli.brain.output import Result, begin, number, show
from ventralstream.cli.config import CONFIG
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

    from ventralstream.brain.score import Score
    from ventralstream.data.stimuli import Stimuli


def ost(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help=options.MODEL_HELP)],
    data: Annotated[
        str,
        typer.Option(
            help="The monkeys' times: the authors' dataset.h5 (github.com/kohitij-kar/image_metrics), 'Kar2019' (of"
            " Brain-Score, private), or a NetCDF file [presentation] with i1 and object_name."
        ),
    ],
    root: options.Root = None,
    images: options.Images = None,
    areas: options.Areas = None,
    rule: Annotated[
        str, typer.Option(help="What a crossing is joined with: published (the largest I1 before) or adjacent.")
    ] = "published",
    fit: Annotated[str, typer.Option(help="The decoder: optimum (exact) or adam (the published recipe).")] = "optimum",
    decoder: Annotated[str, typer.Option(help="Kar2019's decoder of the monkeys: svm or logistic.")] = "svm",
    splits: options.Splits = 10,
    split_seed: options.SplitSeed = 1,
    steps: options.Steps = None,
    reduce: options.Reduce = "none",
    projection: options.Projection = 1000,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Correlate when a model first tells each image's object with when monkey IT does (Kar et al. 2019)."""
    begin(out, figure, threads)
    from ventralstream.brain import ost_consistency
    from ventralstream.progress import Progress

    monkey, own = _monkey(data, root, decoder)
    taken = FeatureOptions(areas, steps, reduce, projection, batch_size, seed, device)
    how: Any = {"rule": rule, "fit": fit, "splits": splits, "seed": split_seed}
    found: list[tuple[str, str, str, DataArray, Score]] = []
    given = open_features(models, images or own, taken, data)
    with Progress("solving", sum(len(m.areas) for m in given), "areas", every=LINE_EVERY) as progress:
        for model in given:
            for area, values in model.areas.items():
                if "time_bin" not in values.dims:
                    raise VentralError(
                        f"'{model.name}' does not change over time; solution times need a model that does"
                    )
                features = _labelled(named_as(values, monkey), monkey)
                found.append((model.name, model.weights, area, features, ost_consistency(features, monkey, **how)))
                progress.update(progress.done + 1, f"{model.name} {area}")

    rows = []
    for name, _, area, _, score in found:
        n = score.n
        solved = f"{n['held_out'] - n['unsolved_by_model']} of {n['held_out']}" if "held_out" in n else "-"
        error = None if score.error is None else float(score.error)  # type: ignore[arg-type]
        rows.append((name, area, number(float(score)), number(error), solved, str(n.get("compared", "-"))))
    notes = [f"{m} {a}: {s.reason}" for m, _, a, _, s in found if s.reason]
    notes += [m.note for m in given if m.note]
    title = (
        f"object solution times of {monkey.sizes['presentation']} images; {rule} rule, {splits} splits, Spearman with"
        " monkey IT (not corrected for noise)"
    )
    data_ = {
        "command": "ost",
        "data": data,
        "options": {**how, "reduce": reduce, "projection": projection},
        "scores": [{"model": m, "weights": w, "area": a, **s.to_json()} for m, w, a, _, s in found],
    }

    def draw() -> Figure:
        import numpy as np

        from ventralstream.brain import object_solution_times
        from ventralstream.brain.correlation import mean_of_defined
        from ventralstream.report.brain_figures import solution_times

        name, _, area, features, score = max(found, key=lambda x: np.nan_to_num(float(x[4]), nan=-2))
        times = object_solution_times(features, monkey, **how)
        return solution_times(
            mean_of_defined(times.values), monkey.values, float(score), f"{name} \N{MIDDLE DOT} {area}"
        )

    show(
        Result(title, ("model", "area", "spearman", "s.e.m.", "solved", "compared"), rows, data_, draw, notes),
        as_json,
        out,
        figure,
    )


def _monkey(data: str, root: Path | None, decoder: str) -> tuple[DataArray, Stimuli | None]:
    """The monkeys' times [presentation] with `stimulus_id`, `i1` and `object_name`, and the images if there are any."""
    from ventralstream.brain import read
    from ventralstream.brain.recordings.datasets import (
        image_metrics,
        image_metrics_images,
        is_image_metrics,
        load,
        monkey_solution_times,
    )

    if is_image_metrics(data):
        return image_metrics(data), image_metrics_images(data)
    times = read(data) if is_file(data) else load(known(data, ["solution times"]), data_root(root, data))
    if "decoder" in times.dims:
        return monkey_solution_times(times, decoder), None
    absent = [c for c in ("stimulus_id", "i1", "object_name") if c not in times.coords]
    if times.dims != ("presentation",) or absent:
        raise VentralError(
            f"'{data}' holds no solution times: expected [presentation] with stimulus_id, i1 and object_name"
            + (f", and there is no {absent[0]}" if absent else "")
        )
    return times, None


def _labelled(features: DataArray, monkey: DataArray) -> DataArray:
    """The features of the monkey's images, with their objects."""
    import numpy as np

    from ventralstream.assembly import names_of

    label = dict(zip(*(names_of(monkey, name).tolist() for name in ("stimulus_id", "object_name")), strict=True))
    ids = names_of(features, "stimulus_id").tolist()
    kept = features.isel(presentation=np.flatnonzero([i in label for i in ids]))
    return kept.assign_coords(object_name=("presentation", [label[i] for i in ids if i in label]))
