"""`ventral brain decode`: what recordings tell of the object shown, over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ventralstream.cli import options
from ventralstream.cli.brain.data import open_recordings
from ventralstream.cli.brain.output import Result, begin, show
from ventralstream.cli.config import CONFIG
from ventralstream.errors import VentralError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def decode(
    data: Annotated[str, typer.Option(help="Recordings in time: e.g. 'macaque-it', or a NetCDF or NWB file.")],
    root: options.Root = None,
    stimulus: options.Stimulus = None,
    label: Annotated[str, typer.Option(help="What is to be read: a coordinate of the presentations.")] = "object_name",
    window_ms: Annotated[int, typer.Option(help="Width of the window that spikes are counted in.")] = 100,
    every_ms: Annotated[int, typer.Option(help="From one window to the next.")] = 20,
    folds: Annotated[int, typer.Option(help="Parts that the repetitions are held out in.")] = 5,
    as_json: options.AsJson = False,
    out: options.Out = None,
    figure: options.Figure = None,
    config: Path | None = CONFIG,
) -> None:
    """Read the object from the neurons in windows of time, by correlation with its mean pattern.

    Windows are named by their end: what is known at 160 ms rests on spikes until 160 ms.
    """
    begin(out, figure)
    import numpy as np

    from ventralstream.assembly import time_bins_of
    from ventralstream.brain import accuracy_curve, rebin
    from ventralstream.brain.recordings.decoding import decoded_over_time

    if window_ms < 1 or every_ms < 1:
        raise VentralError(f"windows of {window_ms} ms every {every_ms} ms cannot be made; expected whole ms above 0")
    recorded = open_recordings(data, root, bin_ms=int(np.gcd(window_ms, every_ms)), stimulus=stimulus)
    bins = time_bins_of(recorded.recordings)
    windows = _windows(bins[0][0], bins[-1][1], window_ms, every_ms)
    if not windows:
        raise VentralError(f"no window of {window_ms} ms fits into {bins[0][0]:g} to {bins[-1][1]:g} ms")
    right = decoded_over_time(rebin(recorded.recordings, windows), label, folds=folds)
    ends = np.broadcast_to(right["time_bin_end"].values, right.shape)
    curve = accuracy_curve(right.values.ravel(), ends.ravel(), x_name="end of window (ms)")
    chance = float(right.attrs["chance"])
    rows = [
        (f"{x - window_ms:g} to {x:g}", f"{a:.1%}", f"{lo:.1%} to {hi:.1%}")
        for x, a, lo, hi in zip(curve.x, curve.accuracy, curve.low, curve.high, strict=True)
    ]
    notes = [f"chance is {chance:.1%}"]
    doubtful = np.flatnonzero(~(curve.low > chance))
    stays = 0 if not len(doubtful) else int(doubtful[-1]) + 1
    if stays < len(curve.x):
        notes.append(f"the interval stays above chance from the window that ends at {curve.x[stays]:g} ms on")
    title = (
        f"{recorded.name}: {label} of {right.sizes['presentation']} trials from {recorded.recordings.sizes['neuroid']}"
        f" neurons, windows of {window_ms} ms, {folds} folds of the repetitions"
    )
    found = {"command": "decode", "data": recorded.name, "label": label, "window_ms": window_ms, "folds": folds}

    def draw() -> Figure:
        from ventralstream.report.courses import Course, courses

        return courses(
            [Course.of("decoded", curve)],
            y_label="share of trials right",
            x_label=f"end of the {window_ms} ms window (ms from image onset)",
            chance=chance,
            title=f"{recorded.name}: {label} from {recorded.recordings.sizes['neuroid']} neurons",
        )

    show(
        Result(
            title,
            ("window (ms)", "right", "95 % interval"),
            rows,
            {**found, "chance": chance, **curve.to_json()},
            draw,
            notes,
        ),
        as_json,
        out,
        figure,
    )


def _windows(start: float, stop: float, width: int, every: int) -> list[tuple[float, float]]:
    """Windows whose ends are multiples of `every` from stimulus onset."""
    first = -int(-(start + width) // every) * every
    return [(e - width, float(e)) for e in range(first, int(stop) + 1, every) if e <= stop and e - width >= start]
