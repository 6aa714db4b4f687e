"""The reports' look for matplotlib: the same colours, markers and quiet axes, for figures that stand in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ventralstream.errors import VentralError, printable
from ventralstream.files import replacing
from ventralstream.report.palette import LIGHT

FORMATS = (".svg", ".png", ".pdf")


PAGE, INK, MUTED, RULE = (LIGHT[name] for name in ("card", "ink", "muted", "rule"))
COLOURS = tuple(LIGHT[name] for name in ("s1", "s2", "right", "wrong", "s3"))
MARKERS = ("o", "s", "D", "^", "v")  # each colour is doubled by a shape

_RC: dict[str, Any] = {
    "figure.facecolor": PAGE,
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "font.size": 9.5,
    "text.color": INK,
    "axes.facecolor": PAGE,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "lines.markeredgecolor": PAGE,
    "lines.markeredgewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.parse_math": False,  # a name with dollars is no formula
    "svg.hashsalt": "ventralstream",  # the same figure is the same file
}


@contextmanager
def look() -> Iterator[None]:
    """Draws what is drawn inside in the reports' look."""
    with rc_context(_RC):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that makes room for its labels."""
    return Figure(figsize=(width, height), layout="constrained")


def square(axes: Axes, low: float, high: float) -> None:
    """The same range on both axes, at the same scale."""
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def check_path(path: Path) -> None:
    """Says before the work is done that a figure could not be written.

    Raises:
        VentralError: for another format, or a folder that does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        raise VentralError(f"the figure '{path}' must be one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise VentralError(f"the folder of the figure '{path}' does not exist")


def save(figure: Figure, path: Path) -> None:
    """Writes a figure beside its place, and renames it; its ending says the format.

    What names from files hold that no page can show (control characters) is escaped.
    """
    check_path(path)
    for text in figure.findobj(Text):
        text.set_text("\n".join(map(printable, text.get_text().split("\n"))))
    kind = path.suffix.lower()[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with look(), replacing(path) as part:
        figure.savefig(part, format=kind, metadata=undated)
