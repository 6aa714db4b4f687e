"""`metrics.csv`: one row for each moment at which something was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ventralstream.files import write_text


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a metrics file; none if there is no file. Half a last line is left out."""
    if not path.is_file():
        return []
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    return list(csv.DictReader(io.StringIO(whole)))


class Metrics:
    """A CSV file that grows row by row; a resumed run leaves the file of one that never stopped.

    Args:
        path: The file. It is made what `text` says: later rows were written by a run that died after its last
            checkpoint, and will be written again.
        columns: The names of the metrics; "step" (training batches seen) comes before them.
        text: The rows up to now, from a checkpoint; "" to begin.

    Attributes:
        text: What the file holds.
    """

    def __init__(self, path: Path, columns: Sequence[str], text: str = "") -> None:
        self.path = path
        self.columns = ("step", *columns)
        self.text = text or self._lines([], header=True)
        write_text(path, self.text)

    def add(self, step: int, **metrics: float) -> None:
        """Appends a row."""
        line = self._lines([{"step": step, **metrics}])
        self.text += line
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def _lines(self, rows: Sequence[Mapping[str, Any]], header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")  # refuses a metric that is no column
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
