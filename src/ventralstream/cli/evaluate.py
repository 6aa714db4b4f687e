"""`ventral evaluate`."""

from __future__ import annotations


def evaluate() -> None:
    """Being written."""
    raise NotImplementedError
