"""`ventral extract`."""

from __future__ import annotations


def extract() -> None:
    """Being written."""
    raise NotImplementedError
