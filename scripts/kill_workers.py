"""Disturbs a search at random moments: workers are killed, the database is stopped and started, connections are cut.

    python scripts/kill_workers.py               50 faults, two workers, a PostgreSQL server of its own
    python scripts/kill_workers.py --faults 6    as in the tests
    python scripts/kill_workers.py --training    trials that train networks (small ones, on scenes), instead of sleeping

After it every trial is finished once, none is running two grace periods later, those that were cut short went on from
where they were (each epoch was done once), and the study has all its trials.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "search"))

from postgres import Server
from small_space import small

from ventralstream.search.objective import Sleep, Training
from ventralstream.search.options import Search
from ventralstream.search.outcomes import outcome_of
from ventralstream.search.requeue import first_number
from ventralstream.search.storage import connect
from ventralstream.search.study import Study, create_study, open_study
from ventralstream.search.worker import work
from ventralstream.training import Place, Recipe
from ventralstream.training import run as _run  # noqa: F401 - imported once, for all workers
from ventralstream.training.metrics import read_rows

WORKERS, HEARTBEAT, GRACE, EPOCHS = 2, 1, 4, 8
RECIPE = Recipe(data="scenes", size=16, subset=48, val_subset=20, epochs=EPOCHS, batch_size=8)


def worker(url: str, log: Path) -> int:
    """Forks a worker; gives its process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        say = lambda line: print(f"{os.getpid()} {time.time():.1f} {line}", flush=True)  # noqa: E731
        study = Study("faults", connect(url, patience=60, waiting=say))
        work(study, Place(threads=1, checkpoint_every=0.0), say=say)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def busy(server: Server, alive: set[int], draw: random.Random) -> int | None:
    """A worker that is in a trial; None if there is none now."""
    names = server.ask(
        "select value_json from trials join trial_user_attributes using (trial_id)"
        " where state='RUNNING' and key='worker'"
    )
    found = {int(name.strip('"').rpartition(":")[2]) for name in names.splitlines()} & alive
    return draw.choice(sorted(found)) if found else None


def disturb(
    server: Server, folder: Path, faults: int, trials: int, seconds: float, training: bool, seed: int
) -> list[str]:
    """Runs a study and disturbs it; gives what went wrong."""
    draw = random.Random(seed)
    objective = Training() if training else Sleep(seconds=seconds, epochs=EPOCHS)
    search = Search(
        sampler="random", trials=trials, heartbeat=HEARTBEAT, grace=GRACE, deaths=1000, objective=objective, startup=5
    )
    create_study("faults", server.url, small, RECIPE, search, folder=folder / "trials")
    log = folder / "workers.log"
    alive = {worker(server.url, log) for _ in range(WORKERS)}
    kinds = ["kill", "kill", "restart", "cut"]
    done: Counter[str] = Counter()
    codes: list[int] = []
    ended = 0

    def reap() -> None:
        nonlocal ended
        for pid in list(alive):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                alive.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                if code not in (0, -signal.SIGKILL):
                    codes.append(code)
                ended += code == 0

    while sum(done.values()) < faults:
        time.sleep(draw.uniform(0.1, 1.2) * max(seconds, 0.5))
        reap()
        if ended:
            break
        kind = kinds[sum(done.values()) % len(kinds)] if faults < 20 else draw.choice(kinds)
        if kind == "kill":
            pid = busy(server, alive, draw)
            if pid is None:
                continue
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            alive.discard(pid)
        elif kind == "restart":
            server.stop(draw.choice(["immediate", "fast"]))
            time.sleep(draw.uniform(0, 1.0))
            server.start()
        elif kind == "cut":
            server.cut()
        done[kind] += 1
        while len(alive) < WORKERS:
            alive.add(worker(server.url, log))
    deadline = time.monotonic() + 60 + 20 * trials * seconds
    while alive and time.monotonic() < deadline:
        reap()
        time.sleep(0.1)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    wrong = [f"a worker was still there after {20 * trials * seconds + 60:.0f} s"] * bool(alive)
    wrong += [f"a worker ended with {code}" for code in codes]
    if sum(done.values()) < faults:
        wrong.append(f"the study was complete after {sum(done.values())} faults: give it more trials")
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items()))
    study = open_study("faults", server.url)
    wrong += checked(study, folder, trials, training)
    again = sum(1 for trial in study.trials if "retry_history" in trial.system_attrs)
    print(f"{told}; {len(study.trials)} trials, {again} of them carried on; {len(wrong)} things went wrong")
    if wrong:
        print(log.read_text()[-20000:], file=sys.stderr)
    return wrong


def checked(study: Study, folder: Path, trials: int, training: bool) -> list[str]:
    """What is wrong with a study that has come to its end."""
    wrong = []
    running = [t.number for t in study.trials if t.state.name in ("RUNNING", "WAITING")]
    if running:
        wrong.append(f"trials {running} are not finished")
    finished = [t for t in study.trials if t.state.name == "COMPLETE"]
    firsts = Counter(first_number(t) for t in finished)
    wrong += [f"trial {number} was finished {count} times" for number, count in firsts.items() if count > 1]
    if not trials <= len(finished) <= trials + WORKERS - 1:
        told = ", ".join(f"{count} {said}" for said, count in Counter(map(outcome_of, study.trials)).items())
        wrong.append(f"{len(finished)} trials were finished, not {trials}: {told}")
    for trial in finished:
        if trial.user_attrs["outcome"] == "known":
            continue
        epochs = sorted(trial.intermediate_values)
        if epochs != list(range(1, EPOCHS + 1)):
            wrong.append(f"trial {trial.number} has told of the epochs {epochs}")
        place = folder / "trials" / f"trial_{first_number(trial):05d}"
        if training:
            done = [int(row["epoch"]) for row in read_rows(place / "metrics.csv") if row["val_accuracy"]]
        else:
            done = [int(line) for line in (place / "epochs.txt").read_text().split()]
        if done != epochs:
            wrong.append(f"trial {trial.number} did the epochs {done}")
    return wrong


def main() -> int:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=1.6, help="of a trial that sleeps")
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder, server = Path(tempfile.mkdtemp(prefix="ventral_faults_")), Server()
    try:
        trials = given.trials or 10 + given.faults
        wrong = disturb(server, folder, given.faults, trials, given.seconds, given.training, given.seed)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
