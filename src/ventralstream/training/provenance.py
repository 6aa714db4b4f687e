"""Where a result comes from: when, with which command, versions and machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ventralstream.version import __version__

PACKAGES = ("torch", "torchvision", "lightning", "numpy", "safetensors")


def provenance() -> dict[str, Any]:
    """What to note beside a result, JSON-able."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "ventralstream": __version__,
        "git_commit": git_commit(),
        "script_commit": _script_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


def git_commit() -> str | None:
    """The commit that the package is of, "+changes" if it was edited; None outside its repository."""
    return _commit(Path(__file__).parents[1] / "version.py")


def _script_commit() -> str | None:
    """The same of the user's script, from which the library was called; None if it is in no repository."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return _commit(Path(script)) if script else None


def _commit(file: Path) -> str | None:
    """The commit that a file is of; None if it is not part of a repository, though perhaps inside of one."""

    def git(*args: str) -> str | None:
        try:
            done = subprocess.run(["git", *args], cwd=file.parent, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", file.name) is None:
        return None
    commit = git("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and git("status", "--porcelain", "--", ".") else commit


def _cpu() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
