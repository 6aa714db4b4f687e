"""What the search itself costs: beside trials that sleep, and in a study of many trials.

    python benchmarks/search.py [--storage postgresql://USER@HOST/NAME] [--trials 10000] [--each 12] [--seconds 5]
        [--part workers|large] [--out search.json]

Workers: 1, 2 and 8 processes share studies of trials that sleep, by TPE. What the search costs a worker beside that is
taken from the beginning of its first trial to the end of its last; starting Python, once, is not in it. On a machine
that others use too, the processor's time says more than the clock: it is that of all a worker does but starting.

Large: a study of made-up trials, drawn at random, with specs and curves as real ones have; then `status`, the report
and the proposals by TPE, the first of a new worker and further ones. Without --storage the database is an
SQLite file.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from measure import machine
from optuna.trial import TrialState

from ventralstream.search.objective import Sleep
from ventralstream.search.options import Search
from ventralstream.search.report import report
from ventralstream.search.report_numbers import spells
from ventralstream.search.sampling import chosen
from ventralstream.search.simulate import simulate
from ventralstream.search.spaces import load_space
from ventralstream.search.status import status
from ventralstream.search.storage import PATIENCE
from ventralstream.search.study import create_study, open_study
from ventralstream.search.worker import work
from ventralstream.training import Recipe

SPACE = "cifar-small"


def workers(storage: str, folder: Path, count: int, each: int, seconds: float) -> dict[str, float]:
    """Trials that sleep, by so many workers."""
    name = f"sleep-{count}-{uuid.uuid4().hex[:8]}"
    sleep = Sleep(seconds=seconds, epochs=5)
    search = Search(objective=sleep, trials=count * each, startup=5)
    create_study(name, storage, load_space(SPACE), Recipe(), search, folder=folder / name)
    with get_context("fork").Pool(count, maxtasksperchild=1) as pool:
        took = pool.starmap(worker, [(name, storage)] * count, chunksize=1)
    trials = [t for t in open_study(name, storage).trials if t.state == TrialState.COMPLETE]
    of_each = spells(trials).values()
    busy = [(one[-1].stop - one[0].start, len(one) * seconds) for one in of_each]
    rate = sum(len(one) / (one[-1].stop - one[0].start) for one in of_each)
    return {
        "workers": count,
        "trials": len(trials),
        "overhead": sum(took for took, _ in busy) / sum(slept for _, slept in busy) - 1,
        "overhead_of_the_worst_worker": max(took / slept for took, slept in busy) - 1,
        "processor_seconds_a_trial": sum(took) / len(trials),
        "trials_a_minute": 60 * rate,
    }


def worker(name: str, storage: str) -> float:
    """Does what `ventral search work` does; gives the seconds of a processor that it took."""
    study = open_study(name, storage, patience=PATIENCE)
    began = time.process_time()
    work(study)
    return time.process_time() - began


def accuracy(values: Mapping[str, Any], noise: random.Random) -> float:
    """Made up: what matters, a little noise."""
    value = 0.3 + 0.1 * values["cell.input_to_cell"] + 0.05 * (values["cell.gate_activation"] == "sigmoid")
    return value - 0.01 * abs(values["cell.tau_kernel"] - 3) + 0.03 * noise.gauss(0, 1)


def large(storage: str, folder: Path, count: int, name: str | None) -> dict[str, Any]:
    """A study of many trials, as a new worker, `status` and the report meet it."""
    if name is None:
        name = f"large-{uuid.uuid4().hex[:8]}"
        search = Search(objective=Sleep(), trials=10 * count)
        made = create_study(name, storage, load_space(SPACE), Recipe(epochs=3), search, folder=folder / name)
        simulate(made, count, accuracy, spoilt=0.05)
    found: dict[str, Any] = {"trials": len(open_study(name, storage).trials)}
    found["status_seconds"] = [timed(lambda: status(open_study(name, storage))) for _ in range(5)]
    found["report_seconds"] = [timed(lambda: report(open_study(name, storage))) for _ in range(3)]
    worker = open_study(name, storage)
    asked: list[float] = []
    for _ in range(9):
        start = time.perf_counter()

        def objective(trial: Any, start: float = start) -> float:
            with worker.storage.together():
                values = chosen(trial, worker.space_of)
            asked.append(time.perf_counter() - start)
            return accuracy(values, random.Random(0))

        worker.optuna.optimize(objective, n_trials=1)
    found["first_ask_of_a_worker_seconds"], found["ask_seconds"] = asked[0], asked[1:]
    return found | {f"median_{key}": statistics.median(found[key]) for key in found if isinstance(found[key], list)}


def timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--study", help="a large study that is there already")
    parser.add_argument("--each", type=int, default=12, help="trials that sleep, of each worker")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--part", choices=["workers", "large"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with_what = machine(threads=1)
    if options.out is not None and options.out.exists():
        results = json.loads(options.out.read_text())["results"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        storage = options.storage or str(folder / "search.db")
        kind = "postgresql" if options.storage else "sqlite"
        if options.part != "large":
            runs = {n: workers(storage, folder, n, options.each, options.seconds) for n in (1, 2, 8)}
            ratio = runs[2]["trials_a_minute"] / runs[1]["trials_a_minute"]
            told = {"machine": with_what, "seconds_a_trial": options.seconds, "two_against_one": ratio}
            results[f"workers, {kind}"] = {**{str(n): run for n, run in runs.items()}, **told}
        if options.part != "workers":
            results[f"large, {kind}"] = {"machine": with_what, **large(storage, folder, options.trials, options.study)}
    text = json.dumps({"results": results}, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
