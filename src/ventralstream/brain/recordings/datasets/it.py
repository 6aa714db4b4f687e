"""Macaque IT: spikes of single neurons to seven objects at three positions (Zhang & Desimone)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from xarray import DataArray

from ventralstream.assembly import TimeBins, assembly, pairs, time_bins
from ventralstream.brain.recordings.datasets.files import Source, find, read_mat
from ventralstream.brain.recordings.spikes import Unit, count_spikes, in_unit, repetition_numbers
from ventralstream.errors import VentralError

SOURCE = Source(
    "the 7-object set of Zhang & Desimone (GPL-3)",
    "zhang-desimone-7object",
    "http://www.readout.info/downloads/datasets/zhang-desimone-7-objects-dataset/ (of Zhang et al. 2011,"
    " https://doi.org/10.1073/pnas.1100999108)",
)
REPETITIONS = 20  # of each of 7 objects at 3 positions


def macaque_it(
    root: str | Path | None = None,
    bin_ms: int = 10,
    *,
    time_bins_ms: TimeBins | None = None,
    unit: Unit = "spikes/s",
) -> DataArray:
    """Responses of 132 IT neurons to 7 objects at 3 positions, 20 times each, 500 ms before onset to 500 ms after.

    The neurons come from 21 sessions, each with an order of trials of its own, so that what is one presentation here
    (a stimulus and a repetition number) is a different trial in each session: the k-th of that stimulus. Correlations
    of noise between neurons of different sessions have no meaning. The seven neurons of session 1006 lack one trial
    (flower at the middle: 19): their response in repetition 19 of that stimulus is NaN.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names. The set is its
            folder `zhang-desimone-7object`.
        bin_ms: Width of the time bins in ms, a whole number.
        time_bins_ms: Or other bins, in whole ms from onset; of any width, and they may overlap.
        unit: "spikes/s", or "spikes" (counts).

    Returns:
        Assembly of 420 presentations, ordered by stimulus, then repetition, x 132 neuroids x time bins; with
        `stimulus_id` ("hand/upper"), `object_name`, `position`, `repetition`; on neuroids `session`, `channel`, `cell`.

    Raises:
        VentralError: The files are not there or not as described, or a bin lies outside the raster.
    """
    folder = find(root, "", SOURCE)
    paths = sorted(folder.glob("*_raster_data.mat"))
    if not paths:
        raise VentralError(f"'{folder}' holds no *_raster_data.mat; expected {SOURCE}")
    neurons = [read_mat(p) for p in paths]
    onset = _onset(neurons, folder)
    samples = neurons[0]["raster_data"].shape[1]
    bins = time_bins(-onset, samples - onset, bin_ms) if time_bins_ms is None else pairs(time_bins_ms)

    stimuli = sorted({key for n in neurons for key in _shown(n)})
    row = {(*stimulus, k): i for i, (stimulus, k) in enumerate((s, k) for s in stimuli for k in range(REPETITIONS))}
    values = np.full((len(row), len(neurons), len(bins)), np.nan)
    for j, neuron in enumerate(neurons):
        shown = _shown(neuron)
        trials = [(*key, int(k)) for key, k in zip(shown, repetition_numbers(*zip(*shown, strict=True)), strict=True)]
        if not set(trials) <= row.keys():
            raise VentralError(f"'{paths[j]}' shows a stimulus more than {REPETITIONS} times")
        values[[row[trial] for trial in trials], j] = count_spikes(neuron["raster_data"], onset, bins)
    objects, positions, repetition = zip(*row, strict=True)
    sites = [n["raster_site_info"] for n in neurons]
    return assembly(
        in_unit(values, bins, unit),
        stimulus_id=[f"{o}/{p}" for o, p in zip(objects, positions, strict=True)],
        object_name=objects,
        repetition=repetition,
        presentation={"position": positions},
        neuroid_id=[p.name.removesuffix("_raster_data.mat") for p in paths],
        region="IT",
        neuroid={
            "session": [int(s["session_ID"]) for s in sites],
            "channel": [int(s["recording_channel"]) for s in sites],
            "cell": [str(s["unit"]) for s in sites],
        },
        time_bins_ms=bins,
        attrs={"unit": unit, "source": "Zhang & Desimone 7-object set"},
    )


def _onset(neurons: list[dict[str, Any]], folder: Path) -> int:
    """The sample at stimulus onset, counted from 0: the files say 501, counted from 1."""
    onsets = {int(n["raster_site_info"]["alignment_event_time"]) - 1 for n in neurons}
    samples = {n["raster_data"].shape[1] for n in neurons}
    if len(onsets) > 1 or len(samples) > 1:
        raise VentralError(f"the rasters in '{folder}' differ in onset or length; expected {SOURCE}")
    return onsets.pop()


def _shown(neuron: dict[str, Any]) -> list[tuple[str, str]]:
    """Object and position of each trial."""
    labels = neuron["raster_labels"]
    return list(zip(map(str, labels["stimulus_ID"]), map(str, labels["stimulus_position"]), strict=True))
