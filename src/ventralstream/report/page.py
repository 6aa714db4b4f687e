"""One self-contained HTML file: text, tables, figures and images inside it, nothing fetched, no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from ventralstream.report.style import STYLE


def page(title: str, *sections: str) -> str:
    """The whole document."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{STYLE}\n</style>"
    )
    body = "\n".join(sections)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'


def heading(content: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(content)}</h{level}>"


def paragraph(content: str, classes: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{_classes(classes)}>{escape(content)}</p>"


def figure(body: str, caption: str) -> str:
    """A figure with its caption (plain text)."""
    return f"<figure>{body}<figcaption>{escape(caption)}</figcaption></figure>"


def panels(items: Iterable[str], least_px: int = 280) -> str:
    """Panels side by side, as many in a row as there is room for when each is at least so wide."""
    inside = "".join(f'<div class="panel">{item}</div>' for item in items)
    return f'<div class="panels" style="--least:{least_px}px">{inside}</div>'


def wide(body: str) -> str:
    """Something that may be wider than a small screen; it scrolls by itself, not the page."""
    return f'<div class="wide">{body}</div>'


def fitting(broad: str, narrow: str) -> str:
    """Two drawings of the same, of which a page shows the one that fits its width."""
    return f'<div class="broad">{broad}</div><div class="narrow">{narrow}</div>'


def legend(items: Iterable[tuple[str, str]]) -> str:
    """A legend: pairs of a drawn sample and what it stands for."""
    inside = "".join(f"<li>{sample}<span>{escape(name)}</span></li>" for sample, name in items)
    return f'<ul class="legend">{inside}</ul>'


def table(header: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]]) -> str:
    """A table; a cell is text, or a pair of text and what stands small below it."""
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return wide(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Terms and what they are."""
    return f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in items)}</dl>"


def image(pixels: ArrayLike, description: str, zoom: int = 2) -> str:
    """A picture [H, W] (grey) or [H, W, 3], uint8, `zoom` times as large; as PNG inside the page."""
    from PIL import Image

    array = np.ascontiguousarray(pixels, dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(array).save(data, "PNG", optimize=True)
    height, width = array.shape[:2]
    source = base64.b64encode(data.getvalue()).decode()
    return (
        f'<img src="data:image/png;base64,{source}" width="{zoom * width}" height="{zoom * height}"'
        f' alt="{escape(description)}">'
    )


def _cell(content: str | tuple[str, str]) -> str:
    if isinstance(content, str):
        return f"<td>{escape(content)}</td>"
    return f"<td>{escape(content[0])}<small>{escape(content[1])}</small></td>"


def _classes(classes: str) -> str:
    return f' class="{classes}"' if classes else ""
