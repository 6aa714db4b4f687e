"""Time and memory of neural predictivity, ours and Brain-Score's, side by side in one run.

    python benchmarks/brain.py [--peer PATH-TO-A-PYTHON-THAT-HAS-BRAINSCORE_VISION] [--bins 20] [--peer-bins 20]
        [--stimuli 2560] [--features 1000] [--neuroids 168] [--splits 10] [--ridge-features 50000] [--threads 2]
        [--out brain.json]

PLS with 25 components: every time bin has features of its own, so that nothing can be shared between bins. The work
goes bin by bin, each side in a process of its own (the peer's with its own python) that waits while the other works, on
the same arrays and splits; a ratio is that of one bin, and the report gives median, least and greatest over bins.
Without `--peer` the other side does what Brain-Score's metric does, in plain loops over scikit-learn's PLSRegression
and scipy's pearsonr. Then, ours alone: features that are the same in all bins (their products are shared), and ridge-CV
on many features. Memory is the peak of the whole process, its libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, ratios, spread

Job = Callable[[dict[str, Any]], float | list[float]]


def simulate(folder: Path, options: argparse.Namespace) -> None:
    """Rectified features with a falling spectrum, neuroids that read them out with as much noise as signal."""
    random = np.random.default_rng(0)
    rank = min(options.features, 400)
    scales = np.arange(1, rank + 1) ** -0.7
    for t in range(options.bins):
        x = random.normal(size=(options.stimuli, rank)) * scales @ random.normal(size=(rank, options.features))
        x = np.maximum(x, 0).astype(np.float32)
        signal = x @ random.normal(size=(options.features, options.neuroids)).astype(np.float32)
        y = signal + signal.std() * random.normal(size=signal.shape)
        np.save(folder / f"features-{t}.npy", x)
        np.save(folder / f"responses-{t}.npy", y)


def labels(stimuli: int) -> tuple[list[str], list[str]]:
    return [f"image-{i:05d}" for i in range(stimuli)], [f"object-{i % max(2, stimuli // 40)}" for i in range(stimuli)]


# ---------------------------------------------------------------------------------------------- the sides


def ours(folder: Path) -> Job:
    from ventralstream.assembly import assembly
    from ventralstream.brain.mapping.predictivity import predictivity

    def job(task: dict[str, Any]) -> float | list[float]:
        x = np.load(folder / f"features-{task['bins'][0]}.npy")
        if "ridge_features" in task:
            many = np.empty((len(x), task["ridge_features"]), np.float32)
            np.random.default_rng(1).standard_normal(out=many, dtype=np.float32)
            many[:, : x.shape[1]] = x
            x = many
        y = np.stack([np.load(folder / f"responses-{t}.npy") for t in task["bins"]], -1)
        ids, objects = labels(len(x))
        edges = [(10.0 * t, 10.0 * (t + 1)) for t in task["bins"]]
        features = assembly(x, stimulus_id=ids)
        recordings = assembly(y, stimulus_id=ids, object_name=objects, time_bins_ms=edges)
        plain: dict[str, Any] = {"correction": "raw", "stratify": "object_name", "resamples": 0, "device": "cpu"}
        score = predictivity(features, recordings, task["mapping"], splits=task["splits"], **plain)
        return np.asarray(score.value).tolist()

    return job


def brainscore(folder: Path) -> Job:
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision.metrics.regression_correlation import metric as package

    def make(values: Any) -> Any:
        ids, objects = labels(len(values))
        on = {
            "stimulus_id": ("presentation", ids),
            "object_name": ("presentation", objects),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
            "region": ("neuroid", ["IT"] * values.shape[1]),
        }
        return NeuroidAssembly(values, coords=on, dims=["presentation", "neuroid"])

    def job(task: dict[str, Any]) -> float | list[float]:
        found = []
        for t in task["bins"]:
            metric = package.CrossRegressedCorrelation(
                regression=package.pls_regression(),
                correlation=package.pearsonr_correlation(),
                crossvalidation_kwargs={"splits": task["splits"]},
            )
            x, y = (np.load(folder / f"{name}-{t}.npy") for name in ("features", "responses"))
            found.append(float(metric(make(x), make(y))))
        return found

    return job


def plain_loops(folder: Path) -> Job:
    from scipy.stats import pearsonr
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.model_selection import StratifiedShuffleSplit

    def job(task: dict[str, Any]) -> float | list[float]:
        found = []
        for t in task["bins"]:
            x, y = (np.load(folder / f"{name}-{t}.npy") for name in ("features", "responses"))
            medians = []
            splitter = StratifiedShuffleSplit(task["splits"], train_size=0.9, random_state=1)
            for train, test in splitter.split(x, labels(len(x))[1]):
                p = PLSRegression(25, scale=False).fit(x[train], y[train]).predict(x[test])
                medians.append(np.median([pearsonr(p[:, j], y[test, j])[0] for j in range(y.shape[1])]))
            found.append(float(np.mean(medians)))
        return found

    return job


SIDES = {"ours": ours, "brainscore": brainscore, "scikit-learn loops": plain_loops}


def serve(side: str, folder: Path) -> None:
    """Does one task a line from standard input, telling time, score and peak memory on a line each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print goes elsewhere
    job = SIDES[side](folder)
    for line in sys.stdin:
        start = time.perf_counter()
        scores = job(json.loads(line))
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "scores": scores, "peak_mib": round(peak)}), file=answers, flush=True)


class Side:
    """One side's process."""

    def __init__(self, name: str, python: str, folder: Path, threads: int) -> None:
        self.name = name
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        settings = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
        self.process = subprocess.Popen(
            [python, "-W", "ignore", __file__, "--side", name, "--folder", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, **settings},
        )  # fmt: skip

    def __call__(self, **task: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            sys.exit(f"the side '{self.name}' failed on {task}:\n{self.log.read()[-2000:]}")
        return dict(json.loads(answer))

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    simulate(folder, options)
    other_name = "brainscore" if options.peer else "scikit-learn loops"
    pythons = {"ours": sys.executable, other_name: options.peer or sys.executable}
    sides = [Side(name, python, folder, options.threads) for name, python in pythons.items()]
    own, other = sides
    pls = {"mapping": "pls", "splits": options.splits}
    for side in sides:  # libraries load, threads start
        side(bins=[0], **{**pls, "splits": 1})
    rounds = []
    for t in range(options.bins):
        mine = own(bins=[t], **pls)
        if t < options.peer_bins:
            theirs = other(bins=[t], **pls)
            difference = abs(mine["scores"][0] - theirs["scores"][0])
            rounds.append({"ours": mine, "theirs": theirs, "difference": difference})
            ratio = theirs["seconds"] / mine["seconds"]
            print(f"bin {t}: {other_name} takes {ratio:.1f} times ours; scores differ by {difference:.1e}", flush=True)
        else:
            rounds.append({"ours": mine})
    peaks = {side.name: rounds[0][who]["peak_mib"] for side, who in zip(sides, ("ours", "theirs"), strict=True)}
    for side in sides:
        side.close()
    both = [r for r in rounds if "theirs" in r]
    result: dict[str, Any] = {
        "pls, features of their own in each bin": {
            "ours_seconds_a_bin": spread([r["ours"]["seconds"] for r in rounds]),
            f"{other_name}_seconds_a_bin": spread([r["theirs"]["seconds"] for r in both]),
            "times_faster": ratios([r["theirs"]["seconds"] for r in both], [r["ours"]["seconds"] for r in both]),
            "largest_score_difference": max(r["difference"] for r in both),
            "peak_mib": peaks,
        }
    }
    same = alone(folder, options, bins=list(range(options.bins)), **pls)
    theirs_a_bin = statistics.median(r["theirs"]["seconds"] for r in both)
    result["pls, the same features in all bins"] = {
        "ours_seconds": same["seconds"],
        "times_faster": theirs_a_bin * options.bins / same["seconds"],
        "peak_mib": same["peak_mib"],
    }
    if options.ridge_features:
        ridge = alone(folder, options, bins=[0], mapping="ridge_cv", splits=options.splits,
                      ridge_features=options.ridge_features)  # fmt: skip
        result[f"ridge-cv on {options.ridge_features} features"] = {k: ridge[k] for k in ("seconds", "peak_mib")}
    return result


def alone(folder: Path, options: argparse.Namespace, **task: Any) -> dict[str, Any]:
    """One task of ours in a fresh process, so that the peak memory is its own."""
    side = Side("ours", sys.executable, folder, options.threads)
    answer = side(**task)
    side.close()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", help="a python that has brainscore_vision")
    for name, default in {"bins": 20, "stimuli": 2560, "features": 1000, "neuroids": 168, "splits": 10}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peer-bins", type=int, help="how many bins the other side does (all)")
    parser.add_argument("--ridge-features", type=int, default=50_000, help="0: no ridge")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side, options.folder)
        return
    options.peer_bins = max(1, min(options.peer_bins or options.bins, options.bins))
    here = machine(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    sizes = {
        name: getattr(options, name) for name in ("stimuli", "features", "neuroids", "bins", "peer_bins", "splits")
    }
    report = {"sizes": sizes, "machine": here, "results": result}
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
