"""Builds the documentation as a site, and follows its links: python scripts/build_site.py [--out build/site]

Every warning is an error. Tutorials are executed; one whose text was not changed since it last ran here is not executed
again (`--fresh` executes all).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from links import crawl

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Builds and checks; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="where the site is written")
    parser.add_argument("--fresh", action="store_true", help="execute all tutorials again")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    if given.fresh:
        shutil.rmtree(ROOT / "build" / "notebooks", ignore_errors=True)
    if (given.out / "objects.inv").is_file():  # an earlier site: pages that went would stay
        shutil.rmtree(given.out)
    read = str(ROOT / "build" / "doctrees")
    options = ["-W", "--keep-going", "-q", "-a", "-d", read, *(["-E"] if given.fresh else [])]
    folders = [str(ROOT / "docs"), str(given.out)]
    one_thread = {"OMP_NUM_THREADS": "1", **os.environ}  # what runs is small, and other work may run beside it
    if done := subprocess.call([sys.executable, "-m", "sphinx", *options, *folders], env=one_thread):
        return done
    seen, dead = crawl(given.out)
    for line in dead:
        print(line, file=sys.stderr)
    unseen = {p.relative_to(given.out).as_posix() for p in given.out.rglob("*.html")} - seen
    for name in sorted(unseen):
        print(f"no page links to {name}", file=sys.stderr)
    took = time.monotonic() - began
    print(f"{len(seen)} files are linked, {len(dead)} links are dead; {took:.0f} s; open {given.out / 'index.html'}")
    return 1 if dead or unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
