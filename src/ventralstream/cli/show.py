"""`ventral show`."""

from __future__ import annotations


def show() -> None:
    """Being written."""
    raise NotImplementedError
