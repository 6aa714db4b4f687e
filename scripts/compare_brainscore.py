"""Compares our scores with those of the real brainscore_vision package, on the same arrays and splits.

    python scripts/compare_brainscore.py --peer PATH-TO-A-PYTHON-THAT-HAS-BRAINSCORE_VISION [--out compare.json]

brainscore_vision pins numpy < 2, so that it lives in an environment of its own:

    python -m venv brainscore-env && brainscore-env/bin/pip install brainscore-vision

The two packages never share a process: this script writes the arrays to an npz file, computes our scores, and runs
itself with the peer's python (`--theirs`), which knows nothing of ventralstream. The arrays are simulated: recordings
that read out correlated features, with noise and repetitions. Ends with an error if a score differs by more than 1e-3.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-3
Scores = dict[str, list[float]]


def simulate(path: Path, stimuli: int, features: int, neuroids: int, bins: int, repetitions: int) -> None:
    """Writes features [stimuli, features, bins], trials [repetitions, stimuli, neuroids, bins] and objects."""
    random = np.random.default_rng(0)
    scales = np.arange(1, features + 1) ** -0.5  # variances that fall off, as those of networks do
    drift = random.normal(size=(stimuli, features, bins)).cumsum(-1) / np.sqrt(np.arange(1, bins + 1))
    x = (drift * scales[:, None]).astype(np.float32)
    signal = np.einsum("sfb,fn->snb", x, random.normal(size=(features, neuroids))) * 3
    signal = np.maximum(signal, 0)  # no linear map explains it all
    trials = signal + 2 * signal.std() * random.normal(size=(repetitions, *signal.shape))
    objects = np.array([f"object-{i % 8}" for i in range(stimuli)])
    order = random.permutation(stimuli)
    np.savez(path, features=x[order], trials=trials[:, order], objects=objects[order], bin_ms=10.0)


# ---------------------------------------------------------------------------------------------- ours


def ours(data: Any) -> Scores:
    """Our scores, by name, each of all time bins."""
    from ventralstream.assembly import assembly
    from ventralstream.brain.mapping.predictivity import predictivity
    from ventralstream.brain.mapping.ridge import RidgeCV
    from ventralstream.brain.recordings.reliability import internal_consistency

    trials, x = data["trials"], data["features"]
    repetitions, stimuli, _, bins = trials.shape
    ids = stimulus_ids(stimuli)
    edges = [(t * 10.0, (t + 1) * 10.0) for t in range(bins)]
    features = assembly(x, stimulus_id=ids, time_bins_ms=edges)
    recordings = assembly(
        trials.reshape(-1, *trials.shape[2:]),
        stimulus_id=np.tile(ids, repetitions),
        object_name=np.tile(data["objects"], repetitions),
        repetition=np.repeat(np.arange(repetitions), stimuli),
        time_bins_ms=edges,
    )
    alphas = RidgeCV(tuple(data["alphas"]), per_target=False)
    found: Scores = {}
    plain: dict[str, Any] = {"correction": "raw", "stratify": "object_name", "resamples": 0}
    for name, mapping, over_time in (
        ("pls", "pls", "per_bin"),
        ("ridge", "ridge", "per_bin"),
        ("ridge-cv", alphas, "per_bin"),
        ("pls, one map for all times", "pls", "shared"),
        ("ridge, one map for all times", "ridge", "shared"),
    ):
        score = predictivity(features, recordings, mapping, over_time, **plain)
        found[name] = np.asarray(score.value).tolist()
        found[f"{name}: error"] = np.asarray(score.error).tolist()
    found["internal consistency"] = np.asarray(internal_consistency(recordings).value).tolist()
    explained = predictivity(features, recordings, "pls", **{**plain, "correction": "r2_over_ceiling"})
    found["pls, r^2 / ceiling"] = np.asarray(explained.value).tolist()
    return found


def stimulus_ids(stimuli: int) -> np.ndarray[Any, Any]:
    """The names of the stimuli, in order."""
    return np.array([f"image-{i:05d}" for i in range(stimuli)])


# ---------------------------------------------------------------------------------------------- theirs, in their python


def theirs(data: Any) -> Scores:
    """The same scores of brainscore_vision."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision.benchmark_helpers.neural_common import explained_variance
    from brainscore_vision.metrics.internal_consistency.ceiling import InternalConsistency
    from brainscore_vision.metrics.regression_correlation import metric as package

    trials, x = data["trials"], data["features"]
    repetitions, stimuli, neuroids, bins = trials.shape
    ids = stimulus_ids(stimuli)

    def make(values: Any, repeated: int) -> Any:
        on = {
            "stimulus_id": ("presentation", np.tile(ids, repeated)),
            "object_name": ("presentation", np.tile(data["objects"], repeated)),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
            "region": ("neuroid", ["IT"] * values.shape[1]),
        }
        if repeated > 1:
            on["repetition"] = ("presentation", np.repeat(np.arange(repeated), stimuli))
        return NeuroidAssembly(values, coords=on, dims=["presentation", "neuroid"])

    def in_time(values: Any) -> Any:
        on = {
            "stimulus_id": ("presentation", ids),
            "object_name": ("presentation", data["objects"]),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
            "region": ("neuroid", ["IT"] * values.shape[1]),
            "time_bin_start": ("time_bin", np.arange(bins) * 10.0),
            "time_bin_end": ("time_bin", np.arange(1, bins + 1) * 10.0),
        }
        return NeuroidAssembly(values, coords=on, dims=["presentation", "neuroid", "time_bin"])

    def ridge_cv() -> Any:
        return package.ridge_cv_regression(alphas=list(data["alphas"]))

    correlation = package.pearsonr_correlation
    mean = trials.mean(0)
    found: Scores = {}
    ceilings = [InternalConsistency()(make(trials[..., t].reshape(-1, neuroids), repetitions)) for t in range(bins)]
    found["internal consistency"] = [float(c) for c in ceilings]
    regressions = {"pls": package.pls_regression, "ridge": package.ridge_regression, "ridge-cv": ridge_cv}
    for name, regression in regressions.items():
        metric = package.CrossRegressedCorrelation(regression=regression(), correlation=correlation())
        scores = [metric(make(x[..., t], 1), make(mean[..., t], 1)) for t in range(bins)]
        found[name] = [float(s) for s in scores]
        found[f"{name}: error"] = [float(s.attrs["error"]) for s in scores]
        if name == "pls":
            pairs = zip(scores, ceilings, strict=True)
            found["pls, r^2 / ceiling"] = [float(explained_variance(s, c)) for s, c in pairs]
    for name in ("pls", "ridge"):
        metric = package.SpanTimeCrossRegressedCorrelation(regressions[name](), correlation())
        score = metric(in_time(x), in_time(mean))
        found[f"{name}, one map for all times"] = np.asarray(score).ravel().tolist()
        found[f"{name}, one map for all times: error"] = np.asarray(score.attrs["error"]).ravel().tolist()
    return found


def main() -> int:
    """Runs the comparison; 0 if all scores agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", help="a python that has brainscore_vision")
    parser.add_argument("--out", type=Path, help="where to write the comparison (JSON)")
    parser.add_argument("--sizes", type=int, nargs=5, default=(240, 60, 12, 3, 6), metavar="N",
                        help="stimuli, features, neuroids, time bins, repetitions")  # fmt: skip
    parser.add_argument("--theirs", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs:
        source, result = options.theirs
        result.write_text(json.dumps(theirs(np.load(source))))
        return 0
    if not options.peer:
        parser.error("--peer is needed: the python of an environment that has brainscore_vision")
    with tempfile.TemporaryDirectory() as folder:
        arrays, result = Path(folder) / "arrays.npz", Path(folder) / "theirs.json"
        simulate(arrays, *options.sizes)
        data = dict(np.load(arrays)) | {"alphas": np.geomspace(1e-2, 1e5, 30)}
        np.savez(arrays, **data)
        command = [options.peer, "-W", "ignore", __file__, "--theirs", str(arrays), str(result)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{options.peer} failed:\n{run.stderr}")
        their_scores = json.loads(result.read_text())
    our_scores = ours(data)
    worst = 0.0
    rows = {}
    for name in our_scores:
        a, b = np.array(our_scores[name]), np.array(their_scores[name])
        difference = float(np.abs(a - b).max())
        worst = max(worst, difference)
        rows[name] = {"ours": a.tolist(), "theirs": b.tolist(), "largest difference": difference}
        print(f"{name:38s} ours {a.round(4)}  theirs {b.round(4)}  largest difference {difference:.1e}")
    if options.out:
        options.out.write_text(json.dumps({"sizes": list(options.sizes), "scores": rows}, indent=1))
    print(f"largest difference {worst:.1e}; allowed {TOLERANCE:g}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
