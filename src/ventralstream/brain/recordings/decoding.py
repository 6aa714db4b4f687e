"""What recordings tell of the object shown, moment by moment: a classifier by correlation with mean patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ventralstream.arguments import whole
from ventralstream.assembly import check, names_of, time_bins_of
from ventralstream.brain.correlation import mean_of_defined
from ventralstream.brain.recordings.reliability import Trials
from ventralstream.errors import VentralError


def decoded_over_time(recordings: xr.DataArray, label: str = "object_name", *, folds: int = 5) -> xr.DataArray:
    """Whether each trial's label can be read from the population, in each time bin by itself.

    Each neuroid is standardised by the training trials. A test trial gets the label whose mean pattern over the
    training trials correlates best with it (the maximum-correlation classifier of Meyers et al. 2008). The folds are of
    repetitions: every stimulus is trained on and tested in each. A missing response counts as the neuroid's mean.

    Args:
        recordings: [presentation, neuroid, time_bin] with repetitions.
        label: The presentation coordinate to be read, e.g. what was shown, or where.
        folds: In how many parts the repetitions fall.

    Returns:
        1 where it was right, 0 where it was wrong, NaN where no pattern varies, [presentation, time_bin], with the
        recordings' coordinates and the attribute `chance`, one over the number of labels.

    Raises:
        VentralError: for recordings without time bins, fewer repetitions than folds, or fewer than 2 labels.
    """
    time_bins_of(recordings := check(recordings))
    names, truth = np.unique(names_of(recordings, label), return_inverse=True)
    trials = Trials.of(recordings)
    if len(names) < 2:
        raise VentralError(f"decoding tells at least 2 labels apart; '{label}' is '{names[0]}' everywhere")
    folds = whole("folds", folds)
    if folds < 2 or trials.repetitions < folds:
        raise VentralError(f"{folds} folds of {trials.repetitions} repetitions cannot be made; expected 2 or more")
    values = recordings.values.astype(np.float64)
    right = np.full((len(truth), values.shape[2]), np.nan)
    for fold in range(folds):
        test = trials.repetition % folds == fold
        mean = mean_of_defined(values[~test])
        z = values - mean
        scale = np.sqrt(mean_of_defined(z[~test] ** 2))
        z = np.where(np.isnan(z), 0, z / np.where(scale > 0, scale, np.inf))
        patterns = np.stack([z[~test & (truth == k)].mean(0) for k in range(len(names))])
        for t in range(values.shape[2]):
            r = _correlations(z[test][..., t], patterns[..., t])
            known = ~np.isnan(r).any(1)
            right[test, t] = np.where(known, np.nan_to_num(r, nan=-2).argmax(1) == truth[test], np.nan)
    coords: dict[str, Any] = {str(n): c.variable for n, c in recordings.coords.items() if "neuroid" not in c.dims}
    return xr.DataArray(right, dims=("presentation", "time_bin"), coords=coords, attrs={"chance": 1 / len(names)})


def _correlations(rows: NDArray[np.float64], patterns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's r of each row with each pattern; NaN where one of them does not vary."""
    a, b = (x - x.mean(1, keepdims=True) for x in (rows, patterns))
    a_norm, b_norm = (np.sqrt((x**2).sum(1)) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(a @ b.T / (a_norm[:, None] * b_norm))
