"""Works through the runs: several `ventral train` side by side, one thread each, and a log of each that is finished."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from box import sessions  # type: ignore[import-not-found]  # beside results.py
from networks import make
from plan import LOGS, Plan, Run, read_logs
from torch import Tensor

from ventralstream.checkpoints import load_network
from ventralstream.data import Loader, load_set
from ventralstream.data.degraded import add_noise, occlude, phase_scrambled
from ventralstream.data.pixels import generator
from ventralstream.errors import VentralError
from ventralstream.evaluation import evaluating
from ventralstream.files import write_text
from ventralstream.network import Network
from ventralstream.presentation import Constant, Masked
from ventralstream.readout import PerStep
from ventralstream.training.folder import open_run
from ventralstream.training.metrics import read_rows

BY_EPOCH = ("train_loss_epoch", "train_accuracy_epoch", "val_accuracy")
HARD_SEED = 0  # of bubbles, noise and masks: the same for all networks
Say = Callable[[str], None]


def work(plan: Plan, folder: Path, root: str, jobs: int, say: Say = print, only: str = "") -> list[str]:
    """Does what is missing, in order, `jobs` runs at a time; gives the names of the runs that failed.

    It may be killed at any time and started again: runs go on where they stopped.

    Args:
        plan: What is wanted.
        folder: Where runs are kept while they are not finished.
        root: The image set's folder.
        jobs: How many at a time.
        say: Told what happens.
        only: Do only runs whose names begin so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    wanted = [run for run in plan.runs() if run.name.startswith(only)]
    state, changed, doing, failed = threading.Lock(), threading.Condition(), set[str](), list[str]()

    def next_run() -> Run | None:
        """The next run that can be done now; None if all are done. Waits for what others must finish first."""
        with changed:
            while True:
                there = read_logs()
                left = [run for run in wanted if run.name not in there and run.name not in failed]
                free = [run for run in left if run.name not in doing]
                for run in free:
                    if all(need.name in there for need in plan.needs(run)):
                        doing.add(run.name)
                        return run
                if not doing:
                    return None
                changed.wait()

    def worker() -> None:
        while (run := next_run()) is not None:
            say(f"{run.name} ...")
            try:
                told = _do(plan, run, folder / run.name, root, lock)
            except Exception as error:  # whatever it is, others go on, and all that is left is tried
                with state:
                    failed.append(run.name)
                told = f"failed: {type(error).__name__}: {error}"
            say(f"{run.name}: {told}")
            with changed:
                doing.discard(run.name)
                changed.notify_all()

    with (folder / "lock").open("w") as lock:
        _wait_for_others(lock, say)
        threads = [threading.Thread(target=worker) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return failed


def _wait_for_others(lock: IO[str], say: Say) -> None:
    """Runs that a killed session left behind hold the lock too: they are waited for."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        say("another session, or a run that it left behind, is still at work; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _do(plan: Plan, run: Run, folder: Path, root: str, lock: IO[str]) -> str:
    """Trains, or carries on with, a run, and writes its log."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    ventral = [sys.executable, "-m", "ventralstream", "train"]
    where = ["--root", root] if plan.training(run.network).recipe.data == "cifar10" else []  # scenes are made
    if any((folder / "checkpoints").glob("epoch_*[0-9]")):
        command = [*ventral, "--resume", str(folder), *where]
    else:
        spec, recipe = folder.with_name(f"{folder.name}.spec.json"), folder.with_name(f"{folder.name}.recipe.json")
        write_text(spec, json.dumps(make(run.network, plan.networks).to_json()))
        write_text(recipe, json.dumps(plan.recipe_of(run, read_logs()).to_json()))
        command = [*ventral, str(spec), "--recipe", str(recipe), *where, "--threads", "1", "--out", str(folder)]
    _call(command, folder, lock)
    write_log(plan, run.name, folder.parents[1], root)
    log = read_logs()[run.name]
    return f"{log['accuracy']['decision']:.2%} after {log['pflop']:.2g} PFLOP"


def _call(command: list[str], folder: Path, lock: IO[str]) -> None:
    """Runs a command on one thread; what it prints goes beside the run's folder."""
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    with folder.with_name(f"{folder.name}.out").open("a") as out:
        done = subprocess.run(command, stdout=out, stderr=out, env=alone, pass_fds=[lock.fileno()], check=False)
    if done.returncode:
        last = Path(out.name).read_text(errors="replace").strip().splitlines()[-1:]
        raise VentralError(f"exit {done.returncode}: {' '.join(last)}")


def write_log(plan: Plan, name: str, folder: Path, root: str) -> Path:
    """Writes the log of a finished run, with what it takes to repeat it."""
    run = next((run for run in plan.runs() if run.name == name), None)
    if run is None:
        raise VentralError(f"there is no run '{name}' in runs.yaml")
    trained = open_run(folder / name)
    if not trained.complete:
        raise VentralError(f"the run '{name}' is not complete")
    network = load_network(folder / name)
    rows = read_rows(trained.metrics)
    epochs = [row for row in rows if row["val_accuracy"]]
    by_step = {key.rpartition("_")[2].lstrip("0") or "0": float(v) for key, v in epochs[-1].items() if "/step_" in key}
    log = {
        "network": run.network,
        "seed": trained.recipe.seed,
        "images": "held out of the training set" if run.seed is None else "test set",
        "parameters": sum(p.numel() for p in network.parameters()),
        "pflop": float(epochs[-1]["pflop"]),
        "accuracy": {"decision": float(epochs[-1]["val_accuracy"]), "by_step": by_step},
        "hard": _hard(plan, network, root) if run.seed is not None and run.network in plan.hard_networks() else {},
        "epochs": [
            {key: float(row[key]) for key in ("train_loss_epoch", "train_accuracy_epoch", "val_accuracy")}
            for row in epochs
        ],
        "curve": [[int(row["step"]), round(float(row["train_loss"]), 4)] for row in rows if row["train_loss"]],
        **sessions(trained),
        "recipe": trained.recipe.to_json(),
        "spec": network.spec.to_json(),
    }
    path = LOGS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in log.items()) + "\n}\n")
    return path


def _hard(plan: Plan, network: Network, root: str) -> dict[str, Any]:
    """The accuracy by step on hard images, all test images in each way."""
    masked = Masked(on=1, mask=max(1, network.spec.steps - 1))
    said: dict[str, Any] = {"shown": dict(plan.hard)}
    for condition, presentation in (("occluded", Constant()), ("noisy", Constant()), ("masked", masked)):
        right, count = torch.zeros(0), 0
        with evaluating(network), torch.no_grad():
            for shown, labels in _shown(plan.hard, root, condition):
                out = network(shown, presentation=presentation, readout=PerStep())
                hits = (out.logits.argmax(-1) == labels[:, None]).sum(0)
                right, count = (right + hits if count else hits), count + len(labels)
        steps = {str(t): n / count for t, n in zip(out.steps, right.tolist(), strict=True)}
        said[condition] = {"decision": steps[str(out.steps[-1])], "by_step": steps}
    return said


def _shown(hard: Mapping[str, Any], root: str, condition: str) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    for i, (images, labels) in enumerate(Loader(load_set("cifar10", root, "val"), 250, train=False)):
        rng, of_mask = generator(HARD_SEED, i), generator(HARD_SEED, i, 1)
        if condition == "noisy":
            yield {"image": add_noise(images, hard["noise"], rng)}, labels
            continue
        seen = occlude(images, hard["bubbles"], hard["sigma"], rng)
        yield {"image": seen} | ({"mask": phase_scrambled(images, of_mask)} if condition == "masked" else {}), labels
