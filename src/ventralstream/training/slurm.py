"""A run as a job of Slurm's, submitted through submitit, that goes on when its time is over or it is told to make room.

What is submitted is a command line: each task runs it, and they find each other (see `launch`). When Slurm tells the
job that its end is near (SIGUSR2 before its time is over, SIGTERM), training finishes its batch and saves; then the
job puts itself in the queue again, and goes on by `ventral train --resume`. A job that was cancelled stays so.

Torch is not imported here: the process that waits for a task's command needs none.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from ventralstream.errors import VentralError, reason, unknown
from ventralstream.extras import require
from ventralstream.jsonable import Spec, hints, make, tagged
from ventralstream.values import Count, Positive, Within

SUBMITTED = "VENTRALSTREAM_SUBMITTED"  # set in a job
MOST_TIMES = 1000  # that a job whose time is over goes on
# As the command ends by itself, and as Python does that had not yet come so far.
_INTERRUPTED = [code for signum in (signal.SIGTERM, signal.SIGUSR2) for code in (128 + signum, -signum)]


@tagged("slurm")
@dataclass(frozen=True)
class Slurm(Spec):
    """What is asked of Slurm; see the manual of its sbatch.

    Attributes:
        partition: The partition; the cluster's default if None.
        nodes: Machines.
        tasks: Processes in all, which share each batch: one for each GPU.
        time: Minutes after which the job must make room, and goes on later.
        cpus: Processors of a task.
        gpus: GPUs of a machine.
        memory: Of a machine, in gigabytes.
        account, qos, constraint: As the cluster asks for.
        warning: Seconds before the end at which the job is told.
    """

    partition: str | None = None
    nodes: Count = 1
    tasks: Count = 1
    time: Count = 60
    cpus: Count | None = None
    gpus: Count | None = None
    memory: Positive | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    warning: Annotated[int, Within(1, 65535)] = 120

    def check(self) -> None:
        if self.tasks % self.nodes:
            raise VentralError(f"{self.tasks} tasks cannot be shared by {self.nodes} nodes evenly")

    @classmethod
    def of(cls, text: str) -> Slurm:
        """From text such as "partition=main,nodes=1,tasks=2,time=60"."""
        given: dict[str, Any] = {}
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if not equals:
                raise VentralError(
                    f"'{part}' of --slurm has no value; expected such as 'partition=main,tasks=2,time=60'"
                )
            if name not in hints(cls):
                raise unknown("option of --slurm", name, hints(cls))
            words = hints(cls)[name] == (str | None)
            try:
                given[name] = value if words else float(value) if name == "memory" else int(value)
            except ValueError:
                raise VentralError(f"'{name}' of --slurm is '{value}'; expected a number") from None
        made: Slurm = make(cls, given)
        return made


class Submitted(NamedTuple):
    """A job.

    Attributes:
        job: Its number.
        log: Where its first task writes.
    """

    job: str
    log: Path


class Command:
    """A run's command line, as submitit calls it in each task. Only strings are pickled.

    Args:
        begin: The command that begins the run.
        run: The run's folder.
    """

    def __init__(self, begin: Sequence[str], run: str) -> None:
        self.begin, self.run = list(begin), run
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is to be run now: once the run has begun, it is carried on."""
        if any(Path(self.run, "checkpoints").glob("epoch_*[0-9]")):
            return [*_VENTRAL, "train", "--resume", self.run]
        return self.begin

    def __call__(self) -> None:
        """Runs the command in this task, and waits for it.

        Raises:
            SystemExit: with its exit code, if that is not 0.
        """
        # submitit takes SIGTERM for nothing; the command hears it itself, and is done soon.
        self._process = subprocess.Popen(self.command(), env=os.environ | {SUBMITTED: "1"})
        code = self._process.wait()
        if code in _INTERRUPTED:
            if os.environ.get("SLURM_PROCID", "0") == "0" and _is_running(os.environ["SLURM_JOB_ID"]):
                signal.raise_signal(signal.SIGUSR2)  # submitit's signal to call `checkpoint` and to requeue the job
            time.sleep(60)  # the first task does that, which ends this one
        if code:
            raise SystemExit(code)

    def checkpoint(self) -> Any:
        """What is to be done when the job comes again, asked for in the first task: called with a signal."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            with suppress(OSError):  # it is no more
                os.kill(self._process.pid, signal.SIGUSR2)  # Slurm has sent it, others may not have
                # until it has saved; by the system, as the call that this signal has interrupted holds Popen's lock
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Command(self.begin, self.run))


_VENTRAL = [sys.executable, "-m", "ventralstream"]


def submit(arguments: Sequence[str], run: Path, slurm: Slurm) -> Submitted:
    """Submits a command line of `ventral`.

    Args:
        arguments: Its arguments, beginning with "train".
        run: The run's folder. What the job writes beside the run goes to a folder of that name with ".slurm" added.
        slurm: What is asked of Slurm.

    Raises:
        VentralError: if there is no Slurm here, or it refuses the job.
    """
    require("slurm")
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    logs = run.with_name(run.name + ".slurm").absolute()
    logs.mkdir(parents=True, exist_ok=True)
    asked = {
        "partition": slurm.partition,
        "cpus_per_task": slurm.cpus,
        "gpus_per_node": slurm.gpus,
        "mem": None if slurm.memory is None else f"{round(slurm.memory * 1024)}MB",
        "account": slurm.account,
        "qos": slurm.qos,
        "constraint": slurm.constraint,
    }
    try:
        executor = submitit.SlurmExecutor(logs, max_num_timeout=MOST_TIMES)
        executor.update_parameters(
            job_name=f"ventral-{run.name}",
            nodes=slurm.nodes,
            ntasks_per_node=slurm.tasks // slurm.nodes,
            time=slurm.time,
            signal_delay_s=slurm.warning,
            stderr_to_stdout=True,
            additional_parameters={"requeue": True},
            srun_args=["--open-mode=append"],
            **{name: value for name, value in asked.items() if value is not None},
        )
        job = executor.submit(Command([*_VENTRAL, *arguments], str(run.absolute())))
    except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError, OSError) as error:
        raise VentralError(f"Slurm did not take the job: {reason(error)}") from None
    except RuntimeError as error:
        raise VentralError(f"there is no Slurm here: {reason(error)}") from None
    return Submitted(str(job.job_id), Path(job.paths.stdout))


def _is_running(job: str) -> bool:
    """Whether Slurm still wants a job: it was not cancelled."""
    told = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=False).stdout
    return "JobState=RUNNING" in shlex.split(told.replace("'", ""))
