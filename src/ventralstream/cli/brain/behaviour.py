"""`ventral brain behaviour`: whether models confuse objects on the images on which people do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import is_file, known
from ventralstream.cli.brain.models import LINE_EVERY, FeatureOptions, at_one_time, named_as, open_features
from ventralstream.cli.brain.output import Result, begin, number, show
from ventralstream.cli.config import CONFIG
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

    from ventralstream.brain.score import Score


def behaviour(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL...]", help=options.MODEL_HELP)] = None,
    data: Annotated[
        str, typer.Option(help="People's choices: 'Rajalingham2018.public' (downloaded), or a NetCDF file.")
    ] = "Rajalingham2018.public",
    root: options.Root = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images: those that people saw are tested, the others train the model's read-out."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV with stimulus_id and object_name.", show_default="each image's folder is its object"),
    ] = None,
    areas: options.Areas = None,
    signature: Annotated[str, typer.Option(help="I1, I1n, I2 or I2n.")] = "I2n",
    moment: Annotated[
        str, typer.Option(help="The mean of the steps that the image drives, the last, or a number.")
    ] = "last",
    c: Annotated[float, typer.Option(help="Inverse strength of the read-out's penalty.")] = 1e-3,
    halvings: options.Halvings = 2,
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
    """Compare models' object confusions, image by image, with people's (Rajalingham et al. 2018).

    A softmax read-out is trained on the images that people were not asked about. Without a model, how well people agree
    with themselves.
    """
    begin(out, figure, threads)
    from ventralstream.arrays import as_keys, as_text
    from ventralstream.assembly import names_of
    from ventralstream.brain import behavioural_ceiling, behavioural_consistency, choice_probabilities
    from ventralstream.progress import Progress

    trials = _trials(data, root)
    how: Any = {"name": signature, "halvings": halvings}
    ceiling = behavioural_ceiling(trials, **how)
    taken = FeatureOptions(areas, steps, reduce, projection, batch_size, seed, device)
    found: list[tuple[str, str, str, DataArray, float, Score]] = []
    given = open_features(models or [], images, taken, data)
    with Progress("asking", sum(len(m.areas) for m in given), "areas", every=LINE_EVERY) as progress:
        for model in given:
            for area, values in model.areas.items():
                train, test = _parts(named_as(at_one_time(values, moment), trials), trials, labels)
                probabilities = choice_probabilities(train, test, c=c)
                right = probabilities["choice"].values[probabilities.values.argmax(1)] == probabilities["truth"].values
                score = behavioural_consistency(probabilities, trials, **how)
                found.append((model.name, model.weights, area, probabilities, float(right.mean()), score))
                progress.update(progress.done + 1, f"{model.name} {area}")

    people_right = float((as_keys(as_text(trials.values)) == names_of(trials, "truth")).mean())
    rows = [("people, half with half", "-", f"{people_right:.1%}", number(float(ceiling)), "-")]
    for name, _, area, _, right_, s in found:
        rows.append((name, area, f"{right_:.1%}", number(float(s.raw)), number(float(s))))  # type: ignore[arg-type]
    notes = [f"{m} {a}: {s.reason}" for m, _, a, _, _, s in found if s.reason]
    notes += [m.note for m in given if m.note]
    if found:
        notes.append("right: of two objects (people), of all objects (models)")
    title = f"{data}: {signature} of {trials.sizes['presentation']} trials"
    data_ = {
        "command": "behaviour",
        "data": data,
        "options": {**how, "moment": moment, "c": c, "reduce": reduce, "projection": projection},
        "people": {"accuracy": people_right, **ceiling.to_json()},
        "scores": [
            {"model": m, "weights": w, "area": a, "accuracy": acc, **s.to_json()} for m, w, a, _, acc, s in found
        ],
    }

    def draw() -> Figure:
        import numpy as np

        from ventralstream.brain import matrix_of_trials
        from ventralstream.brain import signature as signature_of
        from ventralstream.brain.behaviour.signatures import correlate, matrix_of_probabilities
        from ventralstream.report.brain_figures import signatures

        if not found:
            raise VentralError("a figure of behaviour shows a model against people; give a model")
        kind: Any = signature
        name, _, area, probabilities, _, _ = max(found, key=lambda x: np.nan_to_num(float(x[5]), nan=-2))
        people = signature_of(matrix_of_trials(trials), kind)
        mine = signature_of(matrix_of_probabilities(probabilities), kind)
        people, mine = _shared(people, mine)
        label = name if name == area else f"{name} \N{MIDDLE DOT} {area}"
        return signatures(mine.values, people.values, correlate(mine, people)[0], name=label, signature=signature)

    show(
        Result(title, ("who", "area", "right", "raw", "score"), rows, data_, draw, notes),
        as_json,
        out,
        figure,
    )


def _trials(data: str, root: Path | None) -> DataArray:
    from ventralstream.brain import read
    from ventralstream.brain.recordings.datasets import load

    trials = read(data) if is_file(data) else load(known(data, ["choices"]), data_root(root, data))
    absent = [c for c in ("stimulus_id", "truth", "sample_obj", "dist_obj") if c not in trials.coords]
    if trials.dims != ("presentation",) or absent:
        raise VentralError(
            f"'{data}' holds no choices of people: expected [presentation] with stimulus_id, truth, sample_obj and"
            " dist_obj" + (f", and there is no {absent[0]}" if absent else "")
        )
    return trials


def _parts(features: DataArray, trials: DataArray, labels: Path | None) -> tuple[DataArray, DataArray]:
    """Features with objects: of the images that people did not see, and of those that they saw."""
    import numpy as np

    from ventralstream.arrays import as_keys, as_names
    from ventralstream.assembly import names_of
    from ventralstream.brain.recordings.datasets.files import read_table

    ids = names_of(features, "stimulus_id")
    seen = dict(zip(*(names_of(trials, name).tolist() for name in ("stimulus_id", "truth")), strict=True))
    if labels is not None:
        if not labels.is_file():
            raise VentralError(f"the labels '{labels}' do not exist")
        table = read_table(labels, {"stimulus_id": "stimulus_id", "object_name": "object_name"})
        named = (as_keys(as_names(table[n], f"rows have no '{n}'")).tolist() for n in ("stimulus_id", "object_name"))
        objects = dict(zip(*named, strict=True))
    else:
        objects = {i: Path(i).parts[0] for i in ids.tolist() if len(Path(i).parts) > 1}
    known_ = {**objects, **seen}
    unlabelled = [i for i in ids.tolist() if i not in known_]
    if unlabelled:
        raise VentralError(
            f"{len(unlabelled)} images have no object, e.g. '{unlabelled[0]}'; put them into a folder for each object,"
            " or give --labels"
        )
    labelled = features.assign_coords(object_name=("presentation", [known_[i] for i in ids.tolist()]))
    tested = np.array([i in seen for i in ids.tolist()])
    for rows, what in ((tested, "that people saw"), (~tested, "that people did not see, to train the read-out on")):
        if not rows.any():
            raise VentralError(f"there are no images {what}, e.g. among '{ids[0]}'")
    return labelled.isel(presentation=np.flatnonzero(~tested)), labelled.isel(presentation=np.flatnonzero(tested))


def _shared(one: DataArray, other: DataArray) -> tuple[DataArray, DataArray]:
    """Two signatures, row for row."""
    import numpy as np

    from ventralstream.assembly import names_of

    for what in ("stimulus_id", "choice")[: one.ndim]:
        _, rows, others = np.intersect1d(names_of(one, what), names_of(other, what), return_indices=True)
        dim = "presentation" if what == "stimulus_id" else "choice"
        one, other = one.isel({dim: rows}), other.isel({dim: others})
    return one, other
