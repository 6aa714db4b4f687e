"""What an object shows of itself: a few lines of text, and a small table in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ventralstream.errors import printable

_MOST_ROWS = 24


class Summary:
    """Shows a title and rows in place of all that an object holds."""

    def _summary(self) -> tuple[str, Sequence[Sequence[str]]]:
        """The title, and the rows below it; the first cell of a row is its name."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, rows = self._shown()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n  ".join([title, *lines])

    def _repr_html_(self) -> str:
        title, rows = self._shown()
        cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
        table = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<div><strong>{escape(title)}</strong>" + (f"<table>{table}</table>" if table else "") + "</div>"

    def _shown(self) -> tuple[str, list[list[str]]]:
        title, rows = self._summary()
        shown = [[printable(cell) for cell in row] for row in rows[:_MOST_ROWS]]
        if len(rows) > _MOST_ROWS:
            shown.append([f"and {len(rows) - _MOST_ROWS} more", *([""] * (len(rows[0]) - 1))])
        return printable(title), shown


def span(steps: Sequence[int], times_ms: Sequence[float]) -> str:
    """Steps and their times in words: "steps 5 to 9 (50 to 90 ms)"."""
    if not steps:
        return "no steps"
    if len(steps) == 1:
        return f"step {steps[0]} ({times_ms[0]:g} ms)"
    whole = list(steps) == list(range(steps[0], steps[-1] + 1))
    some = ", ".join(map(str, steps[:8])) + (", ..." if len(steps) > 8 else "")
    named = f"{steps[0]} to {steps[-1]}" if whole else some
    return f"steps {named} ({min(times_ms):g} to {max(times_ms):g} ms)"
