"""Little things that the parts share."""

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


def mean_of_defined(values: Floats, axis: int = 0) -> Floats:
    """The mean of what is there; NaN, silently, where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Floats = np.asarray(np.nanmean(values, axis=axis))
    return result
