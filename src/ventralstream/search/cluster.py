"""Several workers: processes on this machine, or jobs of Slurm's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from ventralstream.errors import Interrupted, VentralError
from ventralstream.interrupt import Interruption

_GRACE = 60.0  # seconds for the workers to save


def run_workers(workers: int) -> None:
    """Runs this process's command in so many processes, each one worker, until all have ended.

    Raises:
        Interrupted: after a signal, which all of them get.
        VentralError: if one of them failed.
    """
    command = [sys.executable, "-m", "ventralstream", *_one_worker(sys.argv[1:])]
    with Interruption() as stop:
        started = [subprocess.Popen(command) for _ in range(workers)]
        told = False
        while any(process.poll() is None for process in started):
            time.sleep(0.1)
            if stop.wanted and not told:
                told = True
                for process in started:
                    if process.poll() is None:
                        process.send_signal(stop.signum or signal.SIGINT)
        if stop.wanted:
            raise Interrupted.by(
                stop.signum or signal.SIGINT, "interrupted; their trials go on when workers come again"
            )
    failed = [process.returncode for process in started if process.returncode]
    if failed:
        raise VentralError(f"{len(failed)} of {workers} workers failed; what they said is above")


def _one_worker(arguments: list[str]) -> list[str]:
    """The same command without --workers."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--workers":
            skip = True
        elif not argument.startswith("--workers="):
            kept.append(argument)
    return kept
