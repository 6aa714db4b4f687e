"""What a demo leaves behind: the networks, the numbers, the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ventralstream.checkpoints import save_network
from ventralstream.demo.experiment import Run
from ventralstream.demo.metrics import metrics
from ventralstream.demo.report import report
from ventralstream.files import write_text

METRICS_FILE, REPORT_FILE, NETWORKS_FOLDER = "metrics.json", "report.html", "networks"


def write(run: Run, out: Path) -> dict[str, Any]:
    """Writes everything into a folder and gives the numbers; each file is written beside and renamed.

    Args:
        run: The run.
        out: The folder, made if need be; files of an earlier demo in it are replaced.
    """
    measured = metrics(run)
    page = report(run, measured)  # made before anything is written
    for name, network in run.networks.items():
        save_network(network, out / NETWORKS_FOLDER / name)
    write_text(out / METRICS_FILE, json.dumps(measured, indent=1))
    write_text(out / REPORT_FILE, page)
    return measured
