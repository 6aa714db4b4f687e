"""Whether a model is right at each of its steps, or when it answers as soon as it is confident.

An array of 0 and 1, `[presentation, time_bin]`, where `time_bin_start` is the model's own time in ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from ventralstream.arrays import as_column, as_floats
from ventralstream.errors import VentralError

Floats = NDArray[np.float64]


def correct_over_time(
    logits: ArrayLike, truth: ArrayLike, times_ms: ArrayLike, *, presentation: Mapping[str, ArrayLike] | None = None
) -> xr.DataArray:
    """Whether a model's answer is right at each of its steps.

    Args:
        logits: [image, step, class].
        truth: The right class of each image, [image], as its index among the logits.
        times_ms: The steps' times, [step].
        presentation: Coordinates of the images, by name, e.g. `stimulus_id` or a level of difficulty.

    Returns:
        0 or 1, [presentation, time_bin].
    """
    values, truth, times = _answers(logits, truth, times_ms)
    right = (values.argmax(-1) == truth[:, None]).astype(np.float64)
    return _over_time(right, times, presentation)


def early_exits(
    logits: ArrayLike,
    truth: ArrayLike,
    times_ms: ArrayLike,
    thresholds: ArrayLike,
    *,
    presentation: Mapping[str, ArrayLike] | None = None,
) -> xr.DataArray:
    """Whether a model is right when it answers as soon as it is confident: a point in time for each threshold.

    The rule is `Network.decide`'s: an image is answered at the first step whose largest class probability reaches the
    threshold; one that never does gets the answer of its most confident step. That answer is only known at the end, so
    its time is the last step's (our choice).

    Args:
        logits: [image, step, class], from the first step that the image drives.
        truth: The right class of each image, [image], as its index.
        times_ms: The steps' times, [step].
        thresholds: Confidences from 0 to 1, rising.
        presentation: Coordinates of the images, by name.

    Returns:
        0 or 1, [presentation, time_bin], one time bin a threshold: `time_bin_start` is the mean exit time in ms,
        `threshold` the threshold and `exit_ms` [presentation, time_bin] each image's. Thresholds that only repeat the
        exits of the one before are left out.
    """
    values, truth, times = _answers(logits, truth, times_ms)
    limits = as_floats(thresholds, "thresholds").astype(np.float64)
    if limits.ndim != 1 or not len(limits) or (np.diff(limits) <= 0).any() or limits[0] < 0 or limits[-1] > 1:
        raise VentralError(f"thresholds are rising confidences from 0 to 1; got {limits.tolist()}")
    confidence = softmax(values, axis=-1).max(-1)
    answer = values.argmax(-1)
    reached = confidence[:, :, None] >= limits
    decided = reached.any(1)
    step = np.where(decided, reached.argmax(1), confidence.argmax(1)[:, None])
    exit_ms = np.where(decided, times[step], times[-1])
    new = np.ones(len(limits), dtype=bool)
    new[1:] = (exit_ms[:, 1:] != exit_ms[:, :-1]).any(0)
    right = (np.take_along_axis(answer, step, 1) == truth[:, None]).astype(np.float64)
    result = _over_time(right[:, new], exit_ms[:, new].mean(0), presentation)
    return result.assign_coords(
        threshold=("time_bin", limits[new]), exit_ms=(("presentation", "time_bin"), exit_ms[:, new])
    )


def _answers(logits: ArrayLike, truth: ArrayLike, times_ms: ArrayLike) -> tuple[Floats, Floats, Floats]:
    values = as_floats(logits, "logits").astype(np.float64)
    right = as_floats(as_column(truth), "the right classes").astype(np.float64)
    times = as_floats(times_ms, "times").astype(np.float64)
    if values.ndim != 3 or right.shape != values.shape[:1] or times.shape != values.shape[1:2]:
        raise VentralError(
            "expected logits [image, step, class] with a class for each image and a time for each step;"
            f" got {values.shape}, {right.shape}, {times.shape}"
        )
    if not values.size:
        raise VentralError(f"there are no answers: the logits are {list(values.shape)}")
    if not np.isfinite(values).all():
        odd = int((~np.isfinite(values)).sum())
        raise VentralError(f"{odd} of {values.size} logits are not finite; expected numbers")
    if not np.isin(right, np.arange(values.shape[2])).all():
        strange = right[~np.isin(right, np.arange(values.shape[2]))][0]
        raise VentralError(f"a right class is {strange:g}; expected indices of the {values.shape[2]} classes, from 0")
    if not (np.diff(times) > 0).all() or not np.isfinite(times).all():
        raise VentralError(f"the times of steps rise; got {times.tolist()}")
    return values, right, times


def _over_time(right: Floats, times: Floats, presentation: Mapping[str, ArrayLike] | None) -> xr.DataArray:
    coords: dict[str, Any] = {name: ("presentation", as_column(v)) for name, v in (presentation or {}).items()}
    coords["time_bin_start"] = ("time_bin", times)
    return xr.DataArray(right, dims=("presentation", "time_bin"), coords=coords)
