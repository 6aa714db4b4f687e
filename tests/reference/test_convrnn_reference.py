"""The published ConvRNNs against the original TensorFlow code: every area at every step, logits and decoders.

The tolerance is 1e-4 of the standard deviation of the area at that step, in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from originals import FOLDER, convrnn_variable, images, shape_of

import ventralstream as vs
from ventralstream.weights import load_convrnn

pytestmark = pytest.mark.reference
TOLERANCE = 1e-4
FILES = sorted((FOLDER / "convrnns").glob("*_*.npz"))


def variables_of(z: np.lib.npyio.NpzFile) -> dict[str, np.ndarray]:
    shapes = [shape_of(s) for s in z["var_shapes"]]
    made = {n: convrnn_variable(n, s, round(float(z["gain"]), 6)) for n, s in zip(z["var_names"], shapes, strict=True)}
    if "decay_override_trainable" in z:
        for name, trainable in zip(z["var_names"], z["var_trainable"], strict=True):
            if name.endswith("memory_decay"):
                key = "decay_override_trainable" if trainable else "decay_override_nontrainable"
                made[name] = np.full((1,), z[key], np.float32)
    for i, (name, value) in enumerate(made.items()):
        first = value.ravel()[:4]
        np.testing.assert_array_equal(first, z["var_first4"][i][: len(first)], err_msg=f"the generator of {name}")
    return made


def unroll(net: vs.Network, shown: str, steps: int, of: str) -> vs.Output:
    presentation = {"default": None, "neural": vs.Neural(), "constant20": vs.Constant()}[shown]
    areas = [a.name for a in net.spec.areas]
    given = 20 if shown == "constant20" else None
    with torch.no_grad():
        out = net(images(), given, presentation=presentation, record=vs.Record(areas, of=of))
    assert out[areas[0]].steps == tuple(range(steps))
    return out


def check_areas(net: vs.Network, z: np.lib.npyio.NpzFile, shown: str, kind: str, out: vs.Output) -> float:
    worst = 0.0
    for i, area in enumerate(net.spec.areas, 1):
        key = "imnetds" if area.name == net.spec.readout_area else f"conv{i}"
        values = out[area.name].values
        channels_last = values.permute(0, 1, 3, 4, 2) if values.dim() == 5 else values
        flat = channels_last.transpose(0, 1).flatten(1).numpy()
        stored = f"{shown}.{key}.{kind}"
        error = np.abs(flat[:, z[f"{stored}.idx"]] - z[f"{stored}.samples"]).max(1) / z[f"{stored}.std"]
        assert error.max() < TOLERANCE, f"{stored}: {error.max():.1e} of its deviation at step {error.argmax()}"
        np.testing.assert_allclose(flat.mean(1, dtype=np.float64), z[f"{stored}.mean"], atol=TOLERANCE * flat.std())
        np.testing.assert_allclose(flat.std(1, dtype=np.float64), z[f"{stored}.std"], rtol=TOLERANCE)
        worst = max(worst, error.max())
    return worst


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_areas_and_logits(file: Path) -> None:
    z = np.load(file)
    name = file.stem.split(".")[0]
    net = vs.create_model(name).eval()
    load_convrnn(net, variables_of(z))
    for shown in ("default", "neural", "constant20"):
        if f"{shown}.logits" not in z:
            continue
        steps = int(z[f"{shown}.times"])
        out = unroll(net, shown, steps, "output")
        check_areas(net, z, shown, "out", out)
        if shown == "neural" or "neural.times" not in z:  # the one that shows image and blank
            check_areas(net, z, shown, "state", unroll(net, shown, steps, "state"))
        logits = z[f"{shown}.logits"]
        assert np.abs(out.output.numpy() - logits).max() < TOLERANCE * logits.std()
        every = out[net.spec.readout_area].values.transpose(0, 1).numpy()
        assert np.abs(every - z[f"{shown}.imnetds"]).max() < TOLERANCE * z[f"{shown}.imnetds"].std()
        if f"{shown}.max_conf_time" in z:
            chosen = out.decided_step.numpy() - net.spec.readout.start
            np.testing.assert_array_equal(chosen, z[f"{shown}.max_conf_time"])


@pytest.mark.parametrize("fast", [False, True], ids=["direct", "fast"])
def test_both_kinds_of_convolution(reference: Path, fast: bool) -> None:
    z = np.load(reference / "convrnns" / "timedecay_shallow.decay06.npz")
    net = vs.create_model("timedecay_shallow").eval()
    net.fast_convolutions = fast
    load_convrnn(net, variables_of(z))
    out = unroll(net, "default", int(z["default.times"]), "output")
    assert check_areas(net, z, "default", "out", out) < 2e-5


def readouts() -> list[tuple[str, vs.Readout]]:
    made: list[tuple[str, vs.Readout]] = [
        ("simple", vs.Last()),
        ("simple_soft", vs.Last("probabilities")),
        ("simple_linear", vs.Last("linear")),
    ]
    for suffix, beta in (("", 1.0), (".beta0.3", 0.3), (".beta2.5", 2.5)):
        time_beta = 2 * beta if suffix else 1.0
        made += [
            (f"w_avg{suffix}", vs.ClassWeighted(beta=beta)),
            (f"w_time_avg{suffix}", vs.ConfidenceWeighted(beta=beta, time_beta=time_beta)),
            (f"max_conf{suffix}", vs.MaxConfidence(beta=beta)),
            (f"time_max{suffix}", vs.ClassPeak(beta=beta)),
        ]
    made += [("thresh", vs.Threshold()), ("thresh.thr0.5.beta2", vs.Threshold(beta=2.0, threshold=0.5))]
    return [*made, *((f"thresh.thr{t}", vs.Threshold(threshold=t)) for t in (0.3, 0.5, 0.7, 0.99))]


@pytest.mark.parametrize("which", ["", "2"], ids=["logits", "logits2"])
def test_decoders(reference: Path, which: str) -> None:
    z = np.load(reference / "convrnns" / "decoders.npz")
    logits = torch.from_numpy(z[f"logits{which}"])
    seen = {"logits", "logits2"}
    for name, readout in readouts():
        first, _, rest = name.partition(".")
        key = f"{first}{which}" + (f".{rest}" if rest else "")
        expected = z[key]
        np.testing.assert_allclose(readout.decide(logits).numpy(), expected, atol=1e-5 * expected.std(), err_msg=key)
        seen.add(key)
        for time in (k for k in z.files if k.startswith(f"{key}.") and k.endswith("_time")):
            if "." in time.removeprefix(f"{key}."):
                continue
            chosen = readout.peaks(logits) if isinstance(readout, vs.ClassPeak) else readout.choose(logits)
            stored = z[time]
            np.testing.assert_array_equal(chosen.numpy().reshape(-1)[: stored.size], stored.reshape(-1), err_msg=time)
            seen.add(time)
    of_this = {k for k in z.files if k.split(".")[0].endswith("2") == bool(which)}
    assert of_this <= seen, f"not compared: {sorted(of_this - seen)}"
