"""`ventral brain consistency`: how reliable recordings are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import open_recordings
from ventralstream.cli.brain.output import Result, begin, number, show
from ventralstream.cli.config import CONFIG

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def consistency(
    data: Annotated[str, typer.Option(help="Recordings: e.g. 'macaque-it', or a NetCDF or NWB file.")],
    root: options.Root = None,
    stimulus: options.Stimulus = None,
    bin_ms: Annotated[int, typer.Option(help="Width of the time bins of macaque-it and NWB files, in ms.")] = 10,
    halvings: options.Halvings = 10,
    seed: options.Seed = 1,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Measure the split-half reliability of recordings, with Spearman-Brown, for each region and time bin.

    Median over neurons, mean over halvings.
    """
    begin(out, figure)
    import numpy as np

    from ventralstream.assembly import names_of, time_bins_of
    from ventralstream.brain import internal_consistency, select

    recorded = open_recordings(data, root, bin_ms=bin_ms, stimulus=stimulus)
    recordings = recorded.recordings
    regions = dict.fromkeys(names_of(recordings, "region").tolist()) if "region" in recordings.coords else {"all": None}
    found = {
        str(r): internal_consistency(
            recordings if len(regions) == 1 else select(recordings, region=r), halvings=halvings, seed=seed
        )
        for r in regions
    }
    n = next(iter(found.values())).n
    timed = "time_bin" in recordings.dims
    values = {r: np.atleast_1d(np.asarray(s.value, dtype=float)) for r, s in found.items()}
    rows: list[tuple[str, ...]]
    if timed:
        bins = time_bins_of(recordings)
        columns = ("time bin (ms)", *found)
        rows = [(f"{a:g} to {b:g}", *(number(v[t]) for v in values.values())) for t, (a, b) in enumerate(bins)]
    else:
        columns = ("region", "consistency", "neurons")
        rows = [(r, number(float(s)), str(s.n["neuroids"])) for r, s in found.items()]
    notes = [f"{r}: {s.reason}" for r, s in found.items() if s.reason]
    title = (
        f"{recorded.name}: {recordings.sizes['neuroid']} neurons, {n['stimuli']} stimuli, {n['repetitions']}"
        f" repetitions; internal consistency (split-half, Spearman-Brown), {halvings} halvings"
    )
    data_: dict[str, Any] = {"command": "consistency", "data": recorded.name}
    data_["regions"] = {r: s.to_json() for r, s in found.items()}

    def draw() -> Figure:
        from ventralstream.report.brain_figures import histogram
        from ventralstream.report.courses import Course, courses

        label = "internal consistency"
        if not timed:
            return histogram({r: np.asarray(s.per_neuroid) for r, s in found.items()}, x_label=f"{label} of a neuron")
        x = np.array(bins).mean(1)
        series = []
        for r, s in found.items():
            quartiles = np.nanpercentile(np.asarray(s.per_neuroid, dtype=float), [25, 75], axis=0)
            series.append(Course(f"{r} (median and quartiles of neurons)", x, values[r], *quartiles))
        return courses(series, y_label=label, chance=None, title=label if len(series) > 1 else series[0].name)

    show(Result(title, columns, rows, data_, draw, notes), as_json, out, figure)
