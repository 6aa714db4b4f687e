"""Simulated neurons whose truth is known: a linear read-out of one model area, at a lag, with noise and repetitions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from xarray import DataArray

from ventralstream.assembly import assembly

STEP_MS = 10.0


def bins_ms(count: int, start_ms: float = 0.0) -> list[tuple[float, float]]:
    return [(start_ms + t * STEP_MS, start_ms + (t + 1) * STEP_MS) for t in range(count)]


def model_areas(
    stimuli: int = 400, channels: int = 10, steps: int = 8, areas: tuple[str, ...] = ("V4", "IT"), seed: int = 0
) -> dict[str, DataArray]:
    """Random features of several areas, each an assembly [stimuli, channels, steps] that drifts from step to step."""
    random = np.random.default_rng(seed)
    ids = [f"image-{i}" for i in range(stimuli)]
    found = {}
    for area in areas:
        values = random.normal(size=(stimuli, channels, steps))
        for t in range(1, steps):
            values[..., t] = 0.6 * values[..., t - 1] + 0.8 * values[..., t]
        objects = [f"object-{i % 4}" for i in range(stimuli)]
        found[area] = assembly(values, stimulus_id=ids, object_name=objects, time_bins_ms=bins_ms(steps))
    return found


def neurons(
    features: DataArray,
    count: int = 40,
    lag_steps: int = 0,
    reliability: float = 0.8,
    repetitions: int = 10,
    region: str = "IT",
    seed: int = 1,
) -> DataArray:
    """Neurons that read out `features`, one linear map each for all times, `lag_steps` later.

    `reliability` is the signal's share of the variance of the mean over all repetitions. Neurons are silent but for
    noise before the model's first step arrives; those bins are left out.
    """
    random = np.random.default_rng(seed)
    signal = np.einsum("spt,pn->snt", features.values, random.normal(size=(features.shape[1], count)))
    noise_sd = signal.std(axis=0, keepdims=True) * np.sqrt(repetitions * (1 / reliability - 1))
    trials = signal + noise_sd * random.normal(size=(repetitions, *signal.shape)) + 5
    stimuli = features.sizes["presentation"]
    ids, objects = (np.tile(features[name].values, repetitions) for name in ("stimulus_id", "object_name"))
    return assembly(
        trials.reshape(-1, *signal.shape[1:]),
        stimulus_id=ids,
        object_name=objects,
        repetition=np.repeat(np.arange(repetitions), stimuli),
        region=region,
        time_bins_ms=bins_ms(features.shape[2], float(features["time_bin_start"][0]) + lag_steps * STEP_MS),
    )


def shuffled(recordings: DataArray, seed: int = 5) -> DataArray:
    """The same responses with other stimuli's names: nothing is left to predict."""
    names = np.unique(recordings["stimulus_id"].values)
    other: Mapping[str, str] = dict(zip(names, np.random.default_rng(seed).permutation(names), strict=True))
    renamed = [other[i] for i in recordings["stimulus_id"].values]
    return recordings.assign_coords(stimulus_id=("presentation", np.array(renamed)))


def at_one_time(recordings: DataArray) -> DataArray:
    """The last time bin, without the time dimension."""
    return recordings.isel(time_bin=-1).drop_vars(["time_bin_start", "time_bin_end"])
