"""Little things that behaviour, decoding and people share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ventralstream.errors import unknown

Floats = NDArray[np.float64]


def coordinate(assembly: xr.DataArray, name: str) -> NDArray[Any]:
    """The values of a coordinate.

    Raises:
        VentralError: When the assembly lacks it.
    """
    if name not in assembly.coords:
        raise unknown("coordinate", name, [str(c) for c in assembly.coords], " of the assembly")
    return np.asarray(assembly[name].values)


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's r; NaN with fewer than two values or where one does not vary."""
    if len(x) < 2:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    power = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / power, -1, 1)) if power > 0 else float("nan")


def mean_of_defined(values: Floats, axis: int = 0) -> Floats:
    """The mean of what is there; NaN, silently, where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Floats = np.asarray(np.nanmean(values, axis=axis))
    return result
