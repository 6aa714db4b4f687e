"""Kills training runs at random moments, carries them on, and compares them with runs that nobody disturbed.

    python scripts/kill_runs.py FOLDER                        50 SIGKILLs and 20 SIGTERMs and SIGINTs over all cases
    python scripts/kill_runs.py FOLDER --kills 6 --signals 0 --cases folder,workers

Nothing in the library knows of it. Moments are chosen by the clock and by what appears in a run's folder, and what a
kill has hit is read from what it has left there. Every process runs `ventral train`, in a group of processes of its
own. It is forked from this one, which has imported the library (that takes longer than these runs); `--fresh` starts
each anew. A run must end with the same bits: weights, the last checkpoint (with the optimiser and averages) and
metrics.csv; and TensorBoard must show each row once.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import logging
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from small_network import small_network

from ventralstream.cli import main
from ventralstream.training import run as _  # noqa: F401 - imported once, for all processes
from ventralstream.training.checkpoint import checkpoints, position
from ventralstream.training.metrics import read_rows

EPOCHS, BATCHES = 2, 10  # after the tenth batch a row of metrics.csv says that the validation begins
PATIENCE = 300.0  # seconds in which a process must have done what is waited for


@dataclass(frozen=True)
class Case:
    """A kind of run.

    Attributes:
        recipe: Fields of its recipe beside the images.
        data: "folder", "packed" or "cifar10".
        workers: Processes that read images.
        ranks: Processes that share each batch; started as torchrun does.
        every: Seconds between checkpoints.
        devices: Whether the first process starts the others (`--devices`).
        batch: Images in a batch.
    """

    recipe: dict[str, object] = field(default_factory=dict)
    data: str = "folder"
    workers: int = 0
    ranks: int = 1
    every: float = 0.0
    devices: bool = False
    batch: int = 4


RICH = {
    "optimizer": {"type": "muon"},
    "loss": {"type": "random_duration", "label_smoothing": 0.1},
    "augment": {"part": 0.5, "crop": 2, "flip": "alternating", "cutout": 4},
    "ema_decay": 0.9,
}
ADAM = {"optimizer": {"type": "adamw"}, "loss": {"type": "random_step"}, "precision": "bf16", "ema_decay": 0.9}
CASES = {
    "folder": Case(),
    "rarely": Case(RICH, every=0.1),
    "workers": Case(RICH, workers=2),
    "workers-rarely": Case(ADAM, workers=2, every=0.1),
    "packed": Case(ADAM, data="packed", workers=2),
    "cifar10": Case(RICH, data="cifar10"),
    "cifar10-adam": Case(ADAM, data="cifar10", every=0.1),
    "ranks": Case(RICH, ranks=2),
    "ranks-workers": Case(ADAM, workers=2, ranks=2, every=0.1),
    "ranks-cifar10": Case(ADAM, data="cifar10", ranks=2),
    "three": Case(RICH, ranks=3, batch=3),
    "devices": Case(ranks=2, devices=True),
}


class Trouble(Exception):
    """What should not be."""


class Started:
    """Processes of `ventral`, in a group of their own."""

    def __init__(self, command: list[str], log: Path, ranks: int, fresh: bool) -> None:
        self.log, self.codes, self.made_to_end = log, {}, False
        envs: list[dict[str, str]] = [{}]
        if ranks > 1:
            world = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
            world["MASTER_PORT"] = str(_free_port())
            envs = [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
        self.pids: list[int] = []
        for env in envs:
            group = self.pids[0] if self.pids else 0
            self.pids.append(self._fresh(command, env, group) if fresh else self._forked(command, env, group))

    def _fresh(self, command: list[str], env: dict[str, str], group: int) -> int:
        with self.log.open("a") as log:
            ventral = [sys.executable, "-m", "ventralstream", *command]
            started = subprocess.Popen(ventral, stdout=log, stderr=log, env=os.environ | env, process_group=group)
        started.returncode = 0  # waited for here
        return started.pid

    def _forked(self, command: list[str], env: dict[str, str], group: int) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):  # it has ended already
                os.setpgid(pid, group)  # as it does itself: whoever comes first, so that no signal misses it
            return pid
        code = 1
        try:
            os.setpgid(0, group)
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 1)
            os.dup2(1, 2)
            os.environ.update(env)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.argv = [shutil.which("ventral") or "ventral", *command]
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            atexit._run_exitfuncs()
            os._exit(code)
        raise AssertionError

    def ended(self) -> bool:
        """Whether all have ended."""
        for pid in set(self.pids) - self.codes.keys():
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self.codes[pid] = os.waitstatus_to_exitcode(status)
        return len(self.codes) == len(self.pids)

    def wait(self) -> list[int]:
        """Their exit codes, when all have ended."""
        until = time.monotonic() + PATIENCE
        while not self.ended():
            if time.monotonic() > until:
                self.send(signal.SIGKILL)
                raise Trouble(f"it does not end; see {self.log}")
            time.sleep(0.002)
        return [self.codes[pid] for pid in self.pids]

    def wait_or_end(self, grace: float) -> list[int]:
        """As torchrun does when its first process has ended by a signal: the others have a while, then they get it."""
        began, until = time.monotonic(), float("inf")
        while not self.ended() and time.monotonic() < min(until, began + PATIENCE):
            if self.codes.get(self.pids[0]):
                until = min(until, time.monotonic() + grace)
            time.sleep(0.01)
        if time.monotonic() >= until:
            self.send(signal.SIGTERM)
            self.made_to_end = True
        return self.wait()

    def wait_or_kill(self, grace: float) -> None:
        """As torchrun does when one of its processes has died: the others have a while, then they are killed."""
        until = time.monotonic() + grace
        while not self.ended() and time.monotonic() < until:
            time.sleep(0.01)
        self.send(signal.SIGKILL)
        self.wait()

    def send(self, signum: int, whom: int | None = None) -> None:
        """Sends a signal to the whole group, or to one of them."""
        try:
            if whom is None:
                os.killpg(self.pids[0], signum)
            elif whom not in self.codes:
                os.kill(whom, signum)
        except ProcessLookupError:
            pass


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# --- moments ---------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What one sees of a run from outside."""

    out: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def step(self) -> int:
        """Batches done at the newest checkpoint."""
        found = checkpoints(self.out / "checkpoints")
        epoch, batch = position(found[-1].name) if found else (0, 0)
        return epoch * BATCHES + batch

    @property
    def saving(self) -> bool:
        """Whether a checkpoint is half written."""
        try:
            return any(entry.name.endswith(".part") for entry in os.scandir(self.out / "checkpoints"))
        except FileNotFoundError:
            return False

    @property
    def validating(self) -> bool:
        """Whether the last batch of an epoch is done, and the epoch is not."""
        rows = read_rows(self.out / "metrics.csv")
        return bool(rows) and int(rows[-1]["step"]) % BATCHES == 0 and not rows[-1]["val_accuracy"]


Moment = Callable[[Seen], bool]


def moments(rng: random.Random, seconds: float) -> dict[str, Callable[[int], Moment]]:
    """Kinds of moments: each makes one, given the batches that are done, at which it is time."""

    def later(event: Moment, at_most: float) -> Moment:
        since: list[float] = []
        wait = rng.uniform(0, at_most)

        def is_time(seen: Seen) -> bool:
            if not since and event(seen):
                since.append(time.monotonic())
            return bool(since) and time.monotonic() - since[0] >= wait

        return is_time

    def batch(done: int) -> Moment:
        target = rng.randrange(done, EPOCHS * BATCHES)
        return later(lambda seen: seen.step >= target, 0.03)

    def twice(done: int) -> Moment:
        """In the same epoch as the last one, if there is something left of it."""
        target = rng.randrange(done, done // BATCHES * BATCHES + BATCHES)
        return later(lambda seen: seen.step >= target, 0.02)

    def validation(done: int) -> Moment:
        return later(lambda seen: seen.validating, 0.02)

    def saving(done: int) -> Moment:
        target = rng.randrange(done, EPOCHS * BATCHES)
        return later(lambda seen: seen.step >= target and seen.saving, 0.003)

    def start(done: int) -> Moment:
        return later(lambda seen: True, 0.7)

    def clock(done: int) -> Moment:
        return later(lambda seen: True, seconds * (1 - done / (EPOCHS * BATCHES)))

    return {f.__name__: f for f in (batch, twice, validation, saving, start, clock)}


# --- runs ------------------------------------------------------------------------------------------------------------


class Runs:
    """The runs of a case, in a folder."""

    def __init__(self, name: str, root: Path, rng: random.Random, fresh: bool) -> None:
        self.name, self.case, self.rng, self.fresh = name, CASES[name], rng, fresh
        self.folder = root / "runs" / name
        self.folder.mkdir(parents=True)
        self.spec = self.folder / "spec.json"
        self.spec.write_text(small_network().to_text())
        case = self.case
        recipe = {
            "data": case.data,
            "epochs": EPOCHS,
            "batch_size": case.batch,
            "subset": case.batch * BATCHES,
            "val_subset": 20,
        }
        recipe |= {} if case.data == "cifar10" else {"size": 16}
        self.recipe = self.folder / "recipe.yaml"
        self.recipe.write_text(json.dumps(recipe | case.recipe))
        self.root = os.environ["VENTRALSTREAM_DATA"] if case.data == "cifar10" else str(root / "data" / case.data)
        began = time.monotonic()
        self.whole = self.folder / "whole"
        self._finish(self.whole, self.begin(self.whole))
        self.moments = moments(rng, time.monotonic() - began)

    def begin(self, out: Path) -> Started:
        place = ["--root", self.root, "--threads", "1", "--workers", str(self.case.workers)]
        place += ["--checkpoint-every", str(self.case.every), "--device", "cpu"]
        place += ["--devices", str(self.case.ranks)] if self.case.devices else []
        return self._start(out, [str(self.spec), "--recipe", str(self.recipe), "--out", str(out), *place])

    def _start(self, out: Path, options: list[str]) -> Started:
        ranks = 1 if self.case.devices else self.case.ranks
        return Started(["train", *options], out.with_suffix(".log"), ranks, self.fresh)

    def go_on(self, out: Path) -> Started:
        """What a user does: --resume, or the same command again if nothing had begun."""
        if checkpoints(out / "checkpoints"):
            return self._start(out, ["--resume", str(out)])
        return self.begin(out)

    def _finish(self, out: Path, started: Started) -> None:
        if any(started.wait()):
            raise Trouble(f"it ended with {started.codes}; see {started.log}")

    def killed(self, out: Path, kinds: list[str]) -> list[str]:
        """Begins a run, kills it at these moments in turn, lets it end, and compares it; what was hit each time."""
        hit, epochs = [], []
        for kind in kinds:
            done = Seen(out).step
            started = self.go_on(out)
            seen = self._wait(started, out, self.moments[kind](done))
            if seen is None:  # it ended before
                break
            # One process of several now and then: the others must end by themselves.
            one = self.case.ranks > 1 and not self.case.devices and self.rng.random() < 0.2
            started.send(signal.SIGKILL, self.rng.choice(started.pids) if one else None)
            started.wait_or_kill(20.0)
            if any(code == 0 for code in started.codes.values()):
                break
            epochs.append(Seen(out).step // BATCHES)
            found = ["saving"] if seen.saving else ["validation"] if seen.validating else []
            found += ["twice in an epoch"] if len(epochs) > 1 and epochs[-2] == epochs[-1] else []
            found += ["one of the processes"] if one else []
            found += [] if checkpoints(out / "checkpoints") else ["before it began"]
            hit.append(", ".join(found) or "training")
        self._finish(out, self.go_on(out))
        self.compare(out)
        return hit

    def interrupted(self, out: Path, kind: str, signum: int, whole_group: bool) -> str:
        """Begins a run, sends it a signal, and checks what it says and leaves; then lets it end, and compares it."""
        started = self.begin(out)
        seen = self._wait(started, out, self.moments[kind](0))
        if seen is None:
            return ""
        where = "saving" if seen.saving else "validation" if seen.validating else "training"
        started.send(signum, None if whole_group else started.pids[0])
        codes = started.wait_or_end(20.0)
        if not any(codes):
            return ""
        said = started.log.read_text()
        others = {128 + signum, 128 + signal.SIGTERM} if started.made_to_end else {128 + signum}
        if codes[0] != 128 + signum or not others.issuperset(codes):
            raise Trouble(f"{where}: it ended with {codes}, expected {128 + signum}; see {started.log}")
        if "Traceback" in said:
            raise Trouble(f"{where}: it left a traceback; see {started.log}")
        if not checkpoints(out / "checkpoints"):
            told = "interrupted before training began; begin again with the same command" in said
            if not told and (out.exists() or said.strip().splitlines()[-1] != "interrupted"):
                raise Trouble(f"{where}: it does not say that nothing began; see {started.log}")
            where = "before it began"
        else:
            epoch, batch = divmod(Seen(out).step, BATCHES)
            stood = position(checkpoints(out / "checkpoints")[-1].name)
            place = f"after batch {stood[1]} of epoch {stood[0] + 1}" if stood[1] else f"after epoch {stood[0]}"
            place = "before the first batch" if stood == (0, 0) else place
            if f"interrupted {place}; carry on with: ventral train --resume" not in said:
                raise Trouble(f"{where}: it does not say that it stands {place}; see {started.log}")
            rows = read_rows(out / "metrics.csv")
            if rows and int(rows[-1]["step"]) > epoch * BATCHES + batch:
                raise Trouble(f"{where}: batch {rows[-1]['step']} was done and is not saved; see {started.log}")
        self._finish(out, self.go_on(out))
        self.compare(out)
        return where

    def _wait(self, started: Started, out: Path, is_time: Moment) -> Seen | None:
        """Waits for a moment; None if the run ends before."""
        seen = Seen(out)
        while not is_time(seen):
            if started.ended():
                if any(started.codes.values()):
                    raise Trouble(f"it ended with {started.codes}; see {started.log}")
                return None
            time.sleep(0.001)
        return seen

    def compare(self, out: Path) -> None:
        """Raises Trouble if a run is not what the undisturbed one is."""
        last = checkpoints(self.whole / "checkpoints")[-1].name
        names = ["model.safetensors", "config.json", "metrics.csv", f"checkpoints/{last}/tensors.safetensors"]
        wrong = [name for name in names if (out / name).read_bytes() != (self.whole / name).read_bytes()]
        states = [json.loads((run / "checkpoints" / last / "state.json").read_text()) for run in (out, self.whole)]
        if states[0] != states[1]:
            wrong.append("state.json")
        if left := [str(path) for path in out.rglob("*") if re.search(r"\.(part|replaced|lock)$", path.name)]:
            wrong.append(f"{left[0]} is left")
        wrong += board_faults(out)
        if wrong:
            raise Trouble(f"not the same as {self.whole}: {', '.join(wrong)}")


def board_faults(out: Path) -> list[str]:
    """What TensorBoard shows otherwise than metrics.csv has it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of what it purges
    board = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0})
    board.Reload()
    faults = []
    for name in (rows := read_rows(out / "metrics.csv"))[0].keys() - {"step", "epoch"}:
        expected = [(int(row["step"]), float(np.float32(row[name]))) for row in rows if row[name]]
        shown = [(event.step, event.value) for event in board.Scalars(name)] if expected else expected
        if shown != expected:
            faults.append(f"TensorBoard's {name}")
    return faults


def make_data(root: Path) -> None:
    """An image folder of ten classes, and the same images packed."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for label in range(10):
            folder = root / "data" / "folder" / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    command = ["data", "pack", str(root / "data" / "folder"), str(root / "data" / "packed"), "--size", "16"]
    packing = Started(command, root / "pack.log", 1, False)
    if any(packing.wait()):
        raise Trouble(f"the images cannot be packed; see {root / 'pack.log'}")


# --- the whole -------------------------------------------------------------------------------------------------------


def disturb(root: Path, names: list[str], kills: int, signals: int, rng: random.Random, fresh: bool) -> int:
    """Disturbs runs until there were so many kills and signals; prints the counts, and gives how many went wrong."""
    make_data(root)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    runs = {}
    for name in names:
        runs[name] = Runs(name, root, rng, fresh)
        print(f"{name}: undisturbed", flush=True)
    turn = tried = 0
    kinds = ["saving", "validation", "twice", "batch", "clock", "start"]
    left = {"SIGKILL": kills, "signal": signals}
    while any(n > 0 for n in left.values()) and tried < 10 * (kills + signals):
        tried += 1
        of = runs[names[tried % len(names)]]
        out = of.folder / f"run{tried}"
        try:
            if left["SIGKILL"] > 0:
                of_run = [kinds[(turn + i) % len(kinds)] for i in range(min(3, left["SIGKILL"]))]
                turn += len(of_run)
                for what in (hit := of.killed(out, of_run)):
                    counts[f"{of.name}: SIGKILL, {what}"] += 1
                left["SIGKILL"] -= len(hit)
                print(f"{of.name}: killed ({'; '.join(hit)}), the same", flush=True)
            else:
                signum = (signal.SIGTERM, signal.SIGINT)[left["signal"] % 2]
                kind = kinds[(turn := turn + 1) % len(kinds)]
                what = of.interrupted(out, kind, signum, whole_group=rng.random() < 0.5)
                if what:
                    counts[f"{of.name}: {signum.name}, {what}"] += 1
                    left["signal"] -= 1
                    print(f"{of.name}: {signum.name} ({what}), saved and the same", flush=True)
        except Trouble as trouble:
            wrong.append(f"{out}: {trouble}")
            print(f"WRONG {wrong[-1]}", flush=True)
        else:
            shutil.rmtree(out)
    for what, count in sorted(counts.items()):
        print(f"{count:4d}  {what}")
    for kind in ("SIGKILL", "SIGTERM", "SIGINT"):
        print(f"{sum(n for what, n in counts.items() if f': {kind}' in what)} {kind}", end=", ")
    print(f"{len(wrong)} runs went wrong")
    return len(wrong) or sum(n > 0 for n in left.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new one, for data and runs")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--signals", type=int, default=20, help="SIGTERM and SIGINT in turn")
    parser.add_argument("--cases", default="", help=f"some of {','.join(CASES)}; all if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--fresh", action="store_true", help="starts every process anew, which takes longer")
    given = parser.parse_args()
    chosen = given.cases.split(",") if given.cases else list(CASES)
    if not Path(os.environ.get("VENTRALSTREAM_DATA", "/nowhere"), "cifar-10-batches-py").is_dir():
        left_out = [name for name in chosen if CASES[name].data == "cifar10"]
        chosen = [name for name in chosen if name not in left_out]
        print(f"left out, for VENTRALSTREAM_DATA has no CIFAR-10: {', '.join(left_out) or 'nothing'}")
    given.folder.mkdir(parents=True)
    sys.exit(disturb(given.folder, chosen, given.kills, given.signals, random.Random(given.seed), given.fresh) > 0)
