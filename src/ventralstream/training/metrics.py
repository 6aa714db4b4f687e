"""`metrics.csv`: one row for each moment at which something was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from ventralstream.files import write_text


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a metrics file; none if there is no file. Half a last line is left out."""
    if not path.is_file():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    return list(csv.DictReader(io.StringIO(whole)))


class CsvMetrics(Logger):
    """Writes metrics to a CSV file, row by row; a resumed run leaves the file of one that never stopped.

    Args:
        path: The file.
        columns: The names of the metrics; "step" (training batches seen) comes before them.
        step: Rows of later steps are dropped: they were written by a run that died after its last checkpoint.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int = 0) -> None:
        super().__init__()
        self.path = path
        self.columns = ("step", *columns)
        self._start(step)

    @rank_zero_only
    def _start(self, step: int) -> None:
        kept = [row for row in read_rows(self.path) if int(row["step"]) <= step]
        write_text(self.path, self._lines(kept, header=True))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Appends a row."""
        with self.path.open("a") as file:
            file.write(self._lines([{"step": step, **metrics}]))

    def _lines(self, rows: Sequence[Mapping[str, Any]], header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")  # refuses a metric that is no column
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    @property
    def name(self) -> str:
        """Asked for by Lightning; the file has no name beside its path."""
        return ""

    @property
    def version(self) -> str:
        """Asked for by Lightning; the file has no versions."""
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: hyperparameters stand in the run's `recipe.json`."""
