"""A score and what is needed to judge it: raw value, ceiling, formula, error, counts, seed, parts."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import xarray as xr

Values = float | np.ndarray[Any, Any] | xr.DataArray


@dataclass(frozen=True, repr=False)
class Score:
    """A score, e.g. of a model's features against recordings; `print` and notebooks show it in short.

    The values are numbers, or arrays over `time_bin` where the data are time-resolved. NaN means "not supported by the
    data" (never infinite), and `reason` says why.

    Attributes:
        value: The score after noise correction, aggregated (see `formula`).
        raw: The score before correction, aggregated.
        ceiling: The reliability that the correction divides by, aggregated; None if the score has none.
        formula: Name of the correction or rule that made `value` from `raw` and `ceiling`.
        rule: The same in symbols, where the name does not say it.
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
    rule: str = ""

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return "Score(" + "; ".join(f"{name} {text}" if name else text for name, text in self._parts()) + ")"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._parts()
        )
        return f"<table>{rows}</table>"

    def _parts(self) -> list[tuple[str, str]]:
        """What one wants to know of it, in words."""
        value = _short(self.value)
        if self.error is not None and np.ndim(self.error) == 0 and np.isfinite(float(self.error)):
            value += f" \N{PLUS-MINUS SIGN} {float(self.error):.3f}"
        if self.interval is not None and np.ndim(self.value) == 0:
            low, high = np.asarray(self.interval, dtype=float).tolist()
            value += f" (95 %: {low:.3f} to {high:.3f})"
        parts = [("value", value)]
        parts += [(n, _short(v)) for n, v in (("raw", self.raw), ("ceiling", self.ceiling)) if v is not None]
        parts.append(("formula", f"{self.formula}: {self.rule}" if self.rule else self.formula))
        if self.n:
            parts.append(("of", ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in self.n.items() if n)))
        return parts + ([("reason", self.reason)] if self.reason else [])

    def to_json(self) -> dict[str, Any]:
        """All fields as plain dicts, lists, numbers, strings; NaN is None, an xarray keeps its dims and coordinates."""
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}


def _short(values: Values) -> str:
    """A number; of an array its mean and its range."""
    array = np.asarray(values, dtype=float)
    there = array[np.isfinite(array)]
    if not there.size:
        return "NaN"
    if array.ndim == 0:
        return f"{float(array):.3f}"
    over = " x ".join(f"{n} {d}s" for d, n in values.sizes.items()) if isinstance(values, xr.DataArray) else "all"
    return f"{there.mean():.3f}, the mean over {over} ({there.min():.3f} to {there.max():.3f})"


def encode(value: Any) -> Any:
    """Values of any kind as plain dicts, lists, numbers and strings, as JSON has them: NaN is None."""
    if isinstance(value, xr.DataArray):
        coords = {str(name): encode(c.values) for name, c in value.coords.items()}
        return {"dims": [str(d) for d in value.dims], "coords": coords, "values": encode(value.values)}
    if isinstance(value, np.ndarray | np.generic):
        return encode(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
