"""`ventral brain rsa`: representational similarity of models with recordings, at each step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import is_file, known, open_recordings
from ventralstream.cli.brain.models import LINE_EVERY, FeatureOptions, named_as, open_features
from ventralstream.cli.brain.output import Result, begin, nanmean, number, plain, show
from ventralstream.cli.config import CONFIG
from ventralstream.data_root import data_root

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

    from ventralstream.brain.score import Score
    from ventralstream.brain.similarity.rdm import Rdm
    from ventralstream.data.stimuli import Stimuli

_Found: TypeAlias = "tuple[str, str, str, DataArray, Score]"  # model, weights, area, features, score


def rsa(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL...]", help=options.MODEL_HELP)] = None,
    data: Annotated[str, typer.Option(help="'kriegeskorte-92', or recordings as in `score`.")] = "kriegeskorte-92",
    root: options.Root = None,
    images: options.Images = None,
    stimulus: options.Stimulus = None,
    areas: options.Areas = None,
    measure: Annotated[str, typer.Option(help="Dissimilarity of patterns: correlation or euclidean.")] = "correlation",
    comparison: Annotated[str, typer.Option(help="Of RDMs: spearman, pearson or cosine.")] = "spearman",
    resamples: options.Resamples = 200,
    steps: options.Steps = None,
    reduce: options.Reduce = "none",
    projection: options.Projection = 0,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Compare dissimilarities of stimuli (RDMs) in models, at each step, with those in recordings.

    kriegeskorte-92 are 92 objects in monkey and human IT; without a model the two are compared.
    """
    begin(out, figure, threads)
    import numpy as np

    from ventralstream.brain.similarity.rdm import rdm
    from ventralstream.brain.similarity.rsa import rsa as compare
    from ventralstream.progress import Progress

    measured: Any = measure
    how: Any = {"comparison": comparison, "resamples": resamples, "seed": seed}
    name, references, shown, recordings = _references(data, root, images, measured, stimulus)
    target, other = next(iter(references)), list(references)[1:]
    between = {r: compare(references[target], references[r], **how) for r in other}
    taken = FeatureOptions(areas, steps, reduce, projection, batch_size, seed, device)
    found: list[_Found] = []
    given = open_features(models or [], shown, taken, name)
    with Progress("comparing", sum(len(m.areas) for m in given), "areas", every=LINE_EVERY) as progress:
        for model in given:
            for area, values in model.areas.items():
                called = values if recordings is None else named_as(values, recordings)
                timed = called if "time_bin" in called.dims else called.expand_dims(time_bin=1, axis=2)
                score = _over_time(timed, references[target], measured, how)
                found.append((model.name, model.weights, area, timed, score))
                progress.update(progress.done + 1, f"{model.name} {area}")

    rows = [(f"{target} with {r}", "-", "-", *_cells(float(s), np.asarray(s.interval), s)) for r, s in between.items()]
    for model_name, _, area, values, score in found:
        scores = np.asarray(score.value, dtype=float)
        if np.isfinite(scores).any():
            best = int(np.nanargmax(scores))
            interval = None if score.interval is None else np.asarray(score.interval)[:, best]
            rows.append((f"{target} with {model_name}", area, _when(values, best), *_cells(scores[best], interval)))
        else:
            rows.append((f"{target} with {model_name}", area, "-", "-", "-"))
    notes = [f"{m} {a}: {s.reason}" for m, _, a, _, s in found if s.reason]
    notes += [m.note for m in given if m.note]
    if any("time_bin_start" in v.coords for *_, v, _ in found):
        notes.append("of each area, the step at which it is most alike; all steps are in the JSON")
    stimuli = len(references[target].stimulus_id)
    title = f"{name}: {comparison} of RDMs ({measure}) of {stimuli} stimuli"
    data_ = {
        "command": "rsa",
        "data": name,
        "options": {**how, "measure": measure, "reduce": reduce, "projection": projection, "steps": steps},
        "references": {f"{target} with {r}": s.to_json() for r, s in between.items()},
        "scores": [
            {"model": m, "weights": w, "area": a, "with": target, **s.to_json(), "mean": plain(nanmean(s.value))}
            for m, w, a, _, s in found
        ],
    }

    def draw() -> Figure:
        from ventralstream.report.brain_figures import similarity
        from ventralstream.report.courses import Course

        pictures = {r: reference.square() for r, reference in references.items()}
        models_found = list(dict.fromkeys(m for m, *_ in found))
        for model_name in models_found:
            _, _, area, values, score = _most_alike([x for x in found if x[0] == model_name])
            scores = np.asarray(score.value, dtype=float)
            if np.isfinite(scores).any():
                best = int(np.nanargmax(scores))
                one = rdm(values.isel(time_bin=best), measured).select(references[target].stimulus_id)
                when = f", {_when(values, best)}" if "time_bin_start" in values.coords else ""
                label = model_name if area == model_name else f"{model_name}\n{area}{when}"
                pictures[label] = one.square()
        networks = dict.fromkeys(m for m, *_, v, _ in found if "time_bin_start" in v.coords)
        drawn = found if len(networks) == 1 else [_most_alike([x for x in found if x[0] == m]) for m in models_found]
        series = []
        levels = {f"{target} with {r}": float(s) for r, s in between.items()}
        for model_name, _, area, values, score in drawn:
            label = area if len(networks) == 1 else f"{model_name} \N{MIDDLE DOT} {area}"
            if "time_bin_start" in values.coords:
                bounds = (None, None) if score.interval is None or len(drawn) > 3 else np.asarray(score.interval)
                series.append(Course(label, values["time_bin_start"].values, np.asarray(score.value), *bounds))
            else:
                levels[model_name] = float(np.asarray(score.value).item())
        return similarity(pictures, series, levels=levels, y_label=f"{comparison.capitalize()} with {target}")

    show(
        Result(title, ("compared", "area", "step", comparison, "95 % interval"), rows, data_, draw, notes),
        as_json,
        out,
        figure,
    )


def _references(
    data: str, root: Path | None, images: Path | None, measure: Any, stimulus: str | None
) -> tuple[str, dict[str, Rdm], Stimuli | Path | None, DataArray | None]:
    """RDMs to compare with (the first) and to compare that with (the others), and what was shown."""
    import numpy as np

    from ventralstream.brain import kriegeskorte92, mean_repetitions, rdm
    from ventralstream.brain.recordings.presentations import usable
    from ventralstream.brain.similarity.rdm import Rdm

    if not is_file(data) and known(data, ["similarity", "recordings"]) == "kriegeskorte-92":
        held = kriegeskorte92(data_root(root, data))
        ids = np.array(held.stimuli.ids)
        references = {
            "monkey IT": Rdm.from_square(held.monkey_it, ids, "correlation"),
            "human IT": Rdm.from_square(held.human_it, ids, "correlation"),
        }
        return data, references, images or held.stimuli, None
    recorded = open_recordings(data, root, images, stimulus=stimulus)
    mean, _ = usable(mean_repetitions(recorded.recordings))
    if "time_bin" in mean.dims:
        mean = mean.mean("time_bin")
    return recorded.name, {recorded.name: rdm(mean, measure)}, recorded.images, mean


def _most_alike(found: list[_Found]) -> _Found:
    """Of one model's areas, the one that comes closest at some step."""
    import numpy as np

    return max(found, key=lambda x: float(np.max(np.nan_to_num(np.asarray(x[4].value, dtype=float), nan=-2))))


def _over_time(features: DataArray, reference: Rdm, measure: Any, how: dict[str, Any]) -> Score:
    import numpy as np

    from ventralstream.arrays import as_keys
    from ventralstream.assembly import names_of
    from ventralstream.brain.similarity.rsa import rsa_over_time

    rows = np.isin(names_of(features, "stimulus_id"), as_keys(reference.stimulus_id))
    return rsa_over_time(features.isel(presentation=np.flatnonzero(rows)), reference, measure=measure, **how)


def _cells(value: float, interval: Any, score: Score | None = None) -> tuple[str, str]:
    import numpy as np

    if interval is None or (score is not None and score.interval is None):
        return number(value), "-"
    low, high = np.asarray(interval, dtype=float).tolist()
    return number(value), f"{number(low)} to {number(high)}"


def _when(features: DataArray, row: int) -> str:
    """The time of a step, in ms."""
    return f"{features['time_bin_start'].values[row]:g} ms" if "time_bin_start" in features.coords else "-"
