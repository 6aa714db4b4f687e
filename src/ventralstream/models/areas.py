"""What each area of a network is, in words: for cards and for `ventral show`."""

from __future__ import annotations

from ventralstream.spec import NetworkSpec
from ventralstream.timing import first_steps, remembers


def area_rows(spec: NetworkSpec) -> list[tuple[str, str, str, str, str]]:
    """A row an area: name, cell ("-" for none), output, what it reads, and when the image first drives it."""
    shapes, first = spec.shapes().output, first_steps(spec)
    rows = []
    for area in spec.areas:
        cell = area.cell.tag if area.cell is not None and remembers(area) else "-"
        size = " x ".join(map(str, shapes[area.name]))
        sources = [c.source + ("" if c.kind == "feedforward" else f" ({c.kind})") for _, c in spec.inputs(area.name)]
        step = first[area.name]
        rows.append((area.name, cell, size, ", ".join(sources), f"step {step}, {step * spec.dt_ms:g} ms"))
    return rows
