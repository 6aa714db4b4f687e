"""Arrays as bytes: what the page draws is one block of uint8 values; the header says where each is, at which scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = dict[str, Any]  # where an array lies in a block: "at", "shape", and where it is scaled "low" and "high"
DIGITS = 5  # significant digits of numbers in the header


class Block:
    """Arrays one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, values: NDArray[np.uint8]) -> Place:
        """Adds an array; gives its place."""
        place = {"at": self.size, "shape": list(values.shape)}
        self._parts.append(np.ascontiguousarray(values, dtype=np.uint8).tobytes())
        self.size += values.size
        return place

    def add_scaled(self, values: NDArray[np.float32], axis: int | None = None) -> Place:
        """Adds floats in 256 levels from the lowest to the highest, of the whole or of each index along an axis.

        A value is `low + level / 255 * (high - low)`, to half a level. What is not finite has level 0.
        """
        others = tuple(i for i in range(values.ndim) if axis is not None and i != axis % values.ndim) or None
        known = np.where(np.isfinite(values), values, np.nan)
        with np.errstate(invalid="ignore"):
            empty = ~np.isfinite(known).any(axis=others, keepdims=True)
            known = np.where(empty, 0.0, known)
            low = np.nanmin(known, axis=others, keepdims=True)
            high = np.nanmax(known, axis=others, keepdims=True)
        span = np.where(high > low, high - low, 1.0)
        levels = np.nan_to_num(np.rint((known - low) / span * 255)).astype(np.uint8)
        scale = {"low": numbers(low.ravel()), "high": numbers(high.ravel())}
        return self.add(levels) | scale

    def bytes(self) -> bytes:
        """The whole block."""
        return b"".join(self._parts)


def number(value: float, digits: int = DIGITS) -> float | None:
    """A float for the header: rounded; None where it is not finite (JSON has no other word for it)."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None


def numbers(values: Any, digits: int = DIGITS) -> Any:
    """The same for an array of any shape, as nested lists."""
    if np.ndim(values) == 0:
        return number(float(values), digits)
    return [numbers(v, digits) for v in values]
