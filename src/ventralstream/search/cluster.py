"""Several workers: processes on this machine, or jobs of Slurm's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from ventralstream.errors import Interrupted, VentralError
from ventralstream.interrupt import Interruption
from ventralstream.search.study import Study
from ventralstream.training.slurm import Slurm, Submitted, submit

GPUS = "CUDA_VISIBLE_DEVICES"


def submit_workers(study: Study, workers: int, asked: str) -> list[Submitted]:
    """Submits this process's command to Slurm, each worker a job.

    Args:
        study: The study.
        workers: How many.
        asked: What is asked of Slurm for each, as of `Slurm.of`.

    Raises:
        VentralError: if there is no Slurm here, it refuses a job, or the study is in a file.
    """
    slurm = Slurm.of(asked)
    if slurm.tasks > 1:
        raise VentralError(f"a worker is one task, not {slurm.tasks}; give --workers {slurm.tasks} for as many jobs")
    if study.storage.url.startswith("sqlite"):
        raise VentralError(
            "jobs of Slurm's may run on several machines, which an SQLite file cannot serve; keep the study in"
            " PostgreSQL (--storage postgresql://USER@HOST/NAME)"
        )
    arguments = _without(_without(sys.argv[1:], "--workers"), "--slurm")
    return [submit(arguments, study.folder / f"worker_{number}", slurm) for number in range(workers)]


def run_workers(workers: int) -> None:
    """Runs this process's command in so many processes, each one worker, until all have ended; GPUs go round.

    Raises:
        Interrupted: after a signal, which all of them get.
        VentralError: if one of them failed.
    """
    command = [sys.executable, "-m", "ventralstream", *_without(sys.argv[1:], "--workers")]
    with Interruption() as stop:
        started = [subprocess.Popen(command, env=environment_of(number)) for number in range(workers)]
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


def environment_of(worker: int) -> dict[str, str]:
    """The environment of a worker on this machine: it sees one of the GPUs that this process does."""
    from torch import cuda

    given = os.environ.get(GPUS)
    gpus = [str(i) for i in range(cuda.device_count())] if given is None else [g for g in given.split(",") if g]
    return dict(os.environ) | ({GPUS: gpus[worker % len(gpus)]} if len(gpus) > 1 else {})


def _without(arguments: list[str], option: str) -> list[str]:
    """A command line without an option and its value."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == option:
            skip = True
        elif not argument.startswith(f"{option}="):
            kept.append(argument)
    return kept
