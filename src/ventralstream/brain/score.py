"""A score and what is needed to judge it: raw value, ceiling, formula, error, counts, seed, parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import xarray as xr

Values = float | np.ndarray[Any, Any] | xr.DataArray


@dataclass(frozen=True)
class Score:
    """A score, e.g. of a model's features against recordings.

    The values are numbers, or arrays over `time_bin` where the data are time-resolved. NaN means "not supported by the
    data" (never infinite), and `reason` says why.

    Attributes:
        value: The score after noise correction, aggregated (see `formula`).
        raw: The score before correction, aggregated.
        ceiling: The reliability that the correction divides by, aggregated; None if the score has none.
        formula: Name of the correction or rule that made `value` from `raw` and `ceiling`.
        n: What was counted, e.g. {"stimuli": 2560, "neuroids": 168, "splits": 10, "neuroids_excluded": 2}.
        seed: Seed of all random choices; None if there were none.
        error: Standard error of the mean over splits, of `value`.
        interval: Lower and upper bound of the 95 % confidence interval of `value`, `bound` first.
        per_split: `value` of each split, `split` first.
        per_neuroid: The score of each neuroid (or image, subject, ...), corrected where the formula allows it.
        reason: Why values are NaN; empty if none is.
    """

    value: Values
    raw: Values | None = None
    ceiling: Values | None = None
    formula: str = "raw"
    n: Mapping[str, int] = field(default_factory=dict)
    seed: int | None = None
    error: Values | None = None
    interval: Values | None = None
    per_split: Values | None = None
    per_neuroid: Values | None = None
    reason: str = ""

    def __float__(self) -> float:
        return float(self.value)

    def to_json(self) -> dict[str, Any]:
        """All fields as plain dicts, lists, numbers, strings; NaN is None, an xarray keeps its dims and coordinates."""
        return {f.name: _encode(getattr(self, f.name)) for f in fields(self)}


def _encode(value: Any) -> Any:
    if isinstance(value, xr.DataArray):
        coords = {str(name): _encode(c.values) for name, c in value.coords.items()}
        return {"dims": [str(d) for d in value.dims], "coords": coords, "values": _encode(value.values)}
    if isinstance(value, np.ndarray | np.generic):
        return _encode(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
