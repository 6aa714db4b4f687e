"""Workers as processes: killed, on a database that comes and goes, and as jobs of Slurm's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from postgres import Server, programs
from small_space import small
from small_study import RECIPE

from ventralstream.search import cluster
from ventralstream.search.objective import Sleep
from ventralstream.search.options import Search
from ventralstream.search.status import status
from ventralstream.search.study import Study, create_study, open_study
from ventralstream.search.worker import work

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_workers.py"
VENTRAL = [sys.executable, "-m", "ventralstream"]


@pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (Debian: apt-get install postgresql)")
def test_workers_on_a_machine_take_its_gpus_in_turn(monkeypatch) -> None:
    for given, seen in (("2,5", ["2", "5", "2"]), ("7", ["7"] * 3), ("", [""] * 3)):
        monkeypatch.setenv(cluster.GPUS, given)
        assert [cluster.environment_of(number)[cluster.GPUS] for number in range(3)] == seen
    monkeypatch.delenv(cluster.GPUS)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [cluster.environment_of(number)[cluster.GPUS] for number in range(3)] == ["0", "1", "0"]


def test_faults_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--faults", "6", "--trials", "14"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 cut, 4 kill, 1 restart" in done.stdout and done.stdout.endswith("0 things went wrong\n")


def test_a_connection_that_was_idle_and_cut_is_made_anew(server: Server, tmp_path: Path) -> None:
    search = Search(sampler="random", trials=3, objective=Sleep(seconds=0.0, epochs=1))
    study = create_study("idle", server.url, small, RECIPE, search, folder=tmp_path)
    work(study, trials=1)
    assert server.cut() > 0
    assert work(study) == 2 and status(study).states == {"complete": 3}


@pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="there is no Slurm here (SLURM_CONF is not set)")
def test_jobs_of_slurm_work_on_a_study_and_one_may_be_cancelled(server: Server, tmp_path: Path) -> None:
    search = Search(
        sampler="random", trials=16, heartbeat=2, grace=6, objective=Sleep(seconds=2.0, epochs=8), startup=2
    )
    study = create_study("jobs", server.url, small, RECIPE, search, folder=tmp_path / "jobs")
    command = [*VENTRAL, "search", "work", "jobs", "--storage", server.url, "--workers", "2"]
    told = subprocess.run(
        [*command, "--slurm", "partition=main,time=60"], capture_output=True, text=True, check=True, timeout=200
    ).stdout
    jobs = [line.split()[3].strip(";") for line in told.splitlines()]
    try:
        assert len(jobs) == 2

        def two_at_work(now) -> bool:
            return len({name for name in now.workers.values() if name}) == 2

        wait_for(study, two_at_work)
        subprocess.run(["scancel", jobs[0]], check=True)
        wait_for(
            study, lambda now: now.settled >= 16 and not now.states.get("running") and not now.states.get("waiting")
        )
    finally:
        subprocess.run(["scancel", *jobs], check=True)
    found = open_study("jobs", server.url)
    complete = [t for t in found.trials if t.state.name == "COMPLETE"]
    assert 16 <= len(complete) <= 17
    assert {t.user_attrs["outcome"] for t in found.trials} <= {"trained", "interrupted"}
    for trial in complete:
        first = trial.system_attrs.get("failed_trial", trial.number)
        assert (tmp_path / "jobs" / f"trial_{first:05d}" / "epochs.txt").read_text().split() == list("12345678")


def wait_for(study: Study, condition, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition(now := status(study)):
        assert time.monotonic() < deadline, now
        time.sleep(0.3)
