"""What a demo leaves behind: the networks, the numbers, the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ventralstream.files import write_text

METRICS_FILE, REPORT_FILE, EXPLORER_FILE, NETWORKS_FOLDER = "metrics.json", "report.html", "explorer.html", "networks"
TRAINING_FOLDER = "unfinished"  # where networks are trained until all is done


def write(measured: dict[str, Any], page: str, explorer: str, out: Path) -> None:
    """Writes the numbers and the report, and puts the networks that were trained in their place.

    Args:
        measured: The numbers.
        page: The report.
        explorer: The page that shows the recurrent network in time.
        out: The folder; files of an earlier demo in it are replaced.
    """
    write_text(out / METRICS_FILE, json.dumps(measured, indent=1))
    write_text(out / REPORT_FILE, page)
    write_text(out / EXPLORER_FILE, explorer)
    if (out / TRAINING_FOLDER).is_dir():
        shutil.rmtree(out / NETWORKS_FOLDER, ignore_errors=True)
        (out / TRAINING_FOLDER).rename(out / NETWORKS_FOLDER)
