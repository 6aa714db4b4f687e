"""The results: trains what results/runs.yaml lists, and makes docs/results.md of the logs.

python scripts/results.py run --jobs 2 --root DIR    # may be killed and started again at any time
python scripts/results.py list                       # what there is and what is missing
python scripts/results.py page
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "results"))

import plan as plans  # noqa: E402  # type: ignore[import-not-found]

from ventralstream.data_root import data_root  # noqa: E402
from ventralstream.errors import VentralError  # noqa: E402


def main(arguments: list[str]) -> int:
    """Does what is asked; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="train what is missing")
    command.add_argument("--folder", type=Path, default=ROOT / "runs" / "results", help="where runs are kept")
    command.add_argument("--root", help="folder of the image set; that of VENTRALSTREAM_DATA by default")
    command.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    command.add_argument("--only", default="", help="only runs whose names begin so, e.g. rcnn/")
    commands.add_parser("list", help="say what there is and what is missing")
    commands.add_parser("page", help="make docs/results.md and its figures of the logs")
    given = parser.parse_args(arguments)
    plan = plans.load_plan()
    if given.command == "list":
        logs = plans.read_logs()
        for run in plan.runs():
            told = f"{logs[run.name]['accuracy']['decision']:.2%}" if run.name in logs else "missing"
            print(f"{run.name:32} {told}")
        return 0
    if given.command == "page":
        from page import write_page  # type: ignore[import-not-found]

        print(f"{write_page(plan, plans.read_logs(), ROOT / 'docs')} is written")
        return 0
    from work import work  # type: ignore[import-not-found]

    root = given.root or str(data_root(None, "cifar10"))
    failed = work(plan, given.folder, root, given.jobs, lambda line: print(line, flush=True), given.only)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except VentralError as error:
        sys.exit(f"error: {error}")
