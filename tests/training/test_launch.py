"""Whoever starts the processes of a run: they train as one does, and none waits for one that has failed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_network import without_chance

import ventralstream as vs
from ventralstream.errors import VentralError
from ventralstream.interrupt import Interruption
from ventralstream.training import Place, Recipe, launch
from ventralstream.training.launch import Crew, Ranks, crew, ranks
from ventralstream.training.metrics import read_rows
from ventralstream.training.run import train
from ventralstream.training.slurm import Command, Slurm

EPOCHS = 6
RECIPE = Recipe(
    data="scenes", size=16, subset=16, val_subset=10, epochs=EPOCHS, batch_size=8, sync_norm=True, remat=True
)
OPTIONS = ["--data=scenes", "--size=16", "--subset=16", "--val-subset=10", f"--epochs={EPOCHS}", "--batch-size=8"]
OPTIONS += ["--sync-norm", "--remat", "--device=cpu", "--threads=1"]
VENTRAL = [sys.executable, "-m", "ventralstream", "train"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process, and beside it the spec of its network."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "spec.json").write_text(without_chance().to_text())
    train(without_chance(), RECIPE, folder / "run", place=Place(device="cpu", threads=1))
    return folder


@pytest.fixture(scope="module")
def two(one: Path) -> Path:
    """The same in two processes, of which the first starts the second."""
    done = finished([*VENTRAL, str(one / "spec.json"), *OPTIONS, "--devices=2", "--out", str(one / "two")])
    assert done.stdout.count(f"is complete: {EPOCHS} epochs") == 1
    return one / "two"


def finished(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done


def assert_same(run: Path, other: Path, **tolerances: float) -> None:
    expected, found = vs.load_network(other).state_dict(), vs.load_network(run).state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **tolerances, msg=lambda text, name=name: f"{name}: {text}")
    rows = [read_rows(folder / "metrics.csv")[-1] for folder in (run, other)]
    assert rows[0]["val_accuracy"] == rows[1]["val_accuracy"]
    assert float(rows[0]["train_loss_epoch"]) == pytest.approx(float(rows[1]["train_loss_epoch"]), rel=1e-4)


def test_two_processes_train_as_one_does(one: Path, two: Path) -> None:
    """With static graphs, recomputation and normalisations of their own for each step, all at once."""
    assert_same(two, one / "run", rtol=1e-3, atol=1e-5)


def test_torchrun_starts_the_same(tmp_path: Path, one: Path, two: Path) -> None:
    port = f"--master-port={free_port()}"
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", port, "-m", "ventralstream", "train"]
    done = finished([*start, str(one / "spec.json"), *OPTIONS, "--out", str(tmp_path / "run")])
    assert done.stdout.count(f"is complete: {EPOCHS} epochs") == 1
    assert_same(tmp_path / "run", two, rtol=0, atol=0)


# --- who starts them


def test_ranks_are_found() -> None:
    assert ranks({}) is None
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    torchrun |= {"MASTER_ADDR": "a", "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert ranks(torchrun) == Ranks(3, 4, 1, 2, "a", 29500, "torchrun", hosted=True)
    srun = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}
    srun |= {"SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "12", "SLURM_STEP_ID": "0"}
    assert ranks(srun) == Ranks(5, 8, 1, 4, "gpu07", 15_012, "srun")
    assert ranks(srun | torchrun) == ranks(torchrun)  # started by torchrun on each machine
    assert ranks(srun | {"SLURM_STEP_ID": "1"}).port != ranks(srun).port
    script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "12"}  # of sbatch, that starts no step
    assert ranks(script) is None
    assert ranks(srun | {"SLURM_STEP_NUM_TASKS": "1"}) is None
    with pytest.raises(VentralError, match="7 tasks on 2 machines"):
        ranks(srun | {"SLURM_STEP_NUM_TASKS": "7"})


def test_another_number_of_devices_than_were_started_is_refused() -> None:
    others = Crew(None)
    assert others.placed(Place(devices=3), 3).devices == 3
    others.ranks = Ranks(0, 2, 0, 2, "", 0, "torchrun")
    assert others.placed(Place(devices=4), 1).devices == 2  # those of the last session
    with pytest.raises(VentralError, match="torchrun started 2 processes, not 3: leave out --devices"):
        others.placed(Place(devices=3), 3)


# --- none waits for one that has failed


def fails_at_once(others: Crew) -> None:
    if others.rank == 0:
        raise VentralError("bad input")
    others.wait()


def fails_while_the_first_is_stuck(others: Crew) -> None:
    if others.rank == 1:
        raise VentralError("there are no images here")
    time.sleep(120)  # as in a call of torch's that waits for the other


def fails_while_others_prepare(others: Crew) -> None:
    if others.rank == 0:
        time.sleep(120)
    raise KeyboardInterrupt


def is_killed(others: Crew) -> None:
    if others.rank == 0:
        time.sleep(0.3)
        os.kill(os.getpid(), 9)
    others.wait()


def process(rank: int, port: int, what) -> None:
    launch.LOOK_EVERY, launch.GRACE = 0.1, 0.5
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background ignores
    os.environ |= Ranks(rank, 2, rank, 2, "127.0.0.1", port, "the test").variables()
    try:
        with crew() as others:
            what(others)
    except VentralError as error:
        print("said:", error, file=sys.stderr, flush=True)
        os._exit(2)
    except KeyboardInterrupt:
        os._exit(130)
    except SystemExit as error:
        os._exit(error.code)
    os._exit(0)


@pytest.mark.parametrize(
    ("what", "codes", "said"),
    [
        (fails_at_once, [2, 2], 1),
        (fails_while_the_first_is_stuck, [2, 2], 1),
        (fails_while_others_prepare, [130, 130], 0),
        (is_killed, [-9, 1], 0),
    ],
)
def test_one_that_fails_ends_all_with_its_code(what, codes: list[int], said: int, capfd) -> None:
    port, fork = free_port(), multiprocessing.get_context("fork")
    started = [fork.Process(target=process, args=(rank, port, what), daemon=True) for rank in range(2)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == codes
    assert capfd.readouterr().err.count("said:") == said


def test_ctrl_c_is_heard_while_the_first_process_is_not_there(capfd) -> None:
    """It may have been ended before it could open the meeting place."""
    waiting = multiprocessing.get_context("fork").Process(target=process, args=(1, free_port(), Crew.wait), daemon=True)
    waiting.start()
    time.sleep(0.5)
    os.kill(waiting.pid, signal.SIGINT)
    waiting.join(20)
    assert waiting.exitcode == 130 and capfd.readouterr().err == ""


def prepares_alone(others: Crew) -> None:
    launch.PATIENCE = 0.1
    with Interruption() as stop:
        others.fabric(Place(device="cpu", devices=2), "32", stop, lambda text: print("said:", text, file=sys.stderr))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_others_do_not_come(capfd, number: int) -> None:
    """srun may announce tasks of which one never starts."""
    fork = multiprocessing.get_context("fork")
    waiting = fork.Process(target=process, args=(0, free_port(), prepares_alone), daemon=True)
    waiting.start()
    time.sleep(1)
    os.kill(waiting.pid, number)
    waiting.join(30)
    said = capfd.readouterr().err
    assert waiting.exitcode == 130 and said.count("said:") == 1
    assert "waiting for 1 of the 2 processes that torchrun announced" in said


# --- Slurm


def test_what_is_asked_of_slurm() -> None:
    assert Slurm.of("partition=main,nodes=2,tasks=4,time=30,memory=1.5") == Slurm("main", 2, 4, 30, memory=1.5)
    for text, message in (
        ("partition", "'partition' of --slurm has no value"),
        ("task=2", "unknown option of --slurm 'task'; did you mean 'tasks'?"),
        ("tasks=two", "'tasks' of --slurm is 'two'; expected a number"),
        ("nodes=2,tasks=3", "3 tasks cannot be shared by 2 nodes evenly"),
        ("time=0", "'time' of 'slurm' is 0"),
    ):
        with pytest.raises(VentralError, match=message.replace("?", r"\?")):
            Slurm.of(text)


def test_a_job_carries_a_run_on_once_it_has_begun(tmp_path: Path) -> None:
    command = Command(["begin"], str(tmp_path))
    assert command.command() == ["begin"]
    (tmp_path / "checkpoints" / "epoch_000_batch_000000.part").mkdir(parents=True)
    assert command.command() == ["begin"]
    (tmp_path / "checkpoints" / "epoch_000_batch_000000").mkdir()
    assert command.command()[-2:] == ["--resume", str(tmp_path)]


slurm = pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="there is no Slurm here (SLURM_CONF is not set)")


@slurm
def test_srun_starts_the_same(tmp_path: Path, one: Path, two: Path) -> None:
    command = [*VENTRAL, str(one / "spec.json"), *OPTIONS, "--out", str(tmp_path / "run")]
    done = finished(["srun", "-n", "2", *command])
    assert done.stdout.count(f"is complete: {EPOCHS} epochs") == 1
    assert_same(tmp_path / "run", two, rtol=0, atol=0)


def state(job: str) -> str:
    told = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True).stdout
    return told.split("JobState=")[1].split()[0]


def wait_for(condition, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@slurm
def test_a_job_makes_room_and_goes_on_exactly(tmp_path: Path, one: Path, two: Path) -> None:
    run = tmp_path / "run"
    command = [*VENTRAL, str(one / "spec.json"), *OPTIONS, "--checkpoint-every=0", "--out", str(run)]
    told = finished([*command, "--slurm", "partition=main,nodes=1,tasks=2,time=60"]).stdout
    job = told.split()[3].strip(";")
    assert told.startswith("submitted as job ") and str(tmp_path / "run.slurm") in told
    try:
        wait_for(lambda: list(run.glob("checkpoints/epoch_???_batch_000001")))
        subprocess.run(["scancel", "--signal=USR2", job], check=True)  # as before its time is over
        wait_for(lambda: state(job) == "PENDING")
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)  # else two minutes later
        wait_for(lambda: state(job) in ("COMPLETED", "FAILED"))
        log = (tmp_path / "run.slurm" / f"{job}_0_log.out").read_text()
        assert state(job) == "COMPLETED", log
        assert log.count("carry on with: ventral train --resume") == 1 and f"is complete: {EPOCHS} epochs" in log
    finally:
        subprocess.run(["scancel", job], check=True)
    assert_same(run, two, rtol=0, atol=0)
