"""The published ConvRNNs against the original TensorFlow code: every area at every step, logits and decoders.

The tolerance is 1e-4 of the standard deviation of the area at that step, in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from originals import FOLDER, convrnn_variable, images, shape_of
from torch import Tensor

import ventralstream as vs
from ventralstream.published import load_convrnn

pytestmark = pytest.mark.reference
TOLERANCE = 1e-4
PRESENTATIONS = {"default": None, "neural": vs.Neural(), "constant20": vs.Constant()}
Steps = list[Tensor]  # [B, C, H, W] of every step
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


def areas(net: vs.Network) -> list[str]:
    return [a.name for a in net.spec.areas]


@torch.no_grad()
def outputs_and_states(net: vs.Network, shown: str, steps: int) -> tuple[dict[str, Steps], dict[str, Steps]]:
    """What `Record(areas)` and `Record(areas, of="state")` give, by area, in one unroll."""
    records = vs.Record(areas(net)), vs.Record(areas(net), of="state")
    out = net(images(), steps, presentation=PRESENTATIONS[shown], readout=None, record=records)
    outputs, states = ({a: list(r.values.unbind(1)) for a, r in recorded.items()} for recorded in out.recordings)
    return outputs, states


def check_area(values: Steps, z: np.lib.npyio.NpzFile, stored: str) -> float:
    batch, channels, *size = values[0].shape
    image, *place, channel = np.unravel_index(z[f"{stored}.idx"], (batch, *size, channels))
    samples = np.stack([x.numpy()[(image, channel, *place)] for x in values])
    error = np.abs(samples - z[f"{stored}.samples"]).max(1) / z[f"{stored}.std"]
    assert error.max() < TOLERANCE, f"{stored}: {error.max():.1e} of its deviation at step {error.argmax()}"
    mean = np.array([x.mean() for x in values])
    std = np.array([(x - x.mean()).square().mean().sqrt() for x in values])
    assert (np.abs(mean - z[f"{stored}.mean"]) < TOLERANCE * std).all()
    np.testing.assert_allclose(std, z[f"{stored}.std"], rtol=TOLERANCE)
    return float(error.max())


def check_areas(net: vs.Network, z: np.lib.npyio.NpzFile, shown: str, kind: str, values: dict[str, Steps]) -> float:
    names = {a: f"conv{i}" for i, a in enumerate(areas(net), 1)} | {net.spec.readout_area: "imnetds"}
    return max(check_area(values[a], z, f"{shown}.{name}.{kind}") for a, name in names.items())


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_areas_and_logits(file: Path) -> None:
    z = np.load(file)
    net = vs.create_model(file.stem.split(".")[0]).eval()
    load_convrnn(net, variables_of(z))
    for shown in PRESENTATIONS:
        if f"{shown}.logits" not in z:
            continue
        steps = int(z[f"{shown}.times"])
        outputs, states = outputs_and_states(net, shown, steps)
        check_areas(net, z, shown, "out", outputs)
        check_areas(net, z, shown, "state", states)
        every, imnetds = torch.stack(outputs[net.spec.readout_area]), z[f"{shown}.imnetds"]
        assert np.abs(every.numpy() - imnetds).max() < TOLERANCE * imnetds.std()
        readout, logits = net.spec.readout, z[f"{shown}.logits"]
        wanted = net.readout_steps(readout, steps)
        read = every[wanted.start : wanted.stop].transpose(0, 1)
        assert np.abs(readout.decide(read).numpy() - logits).max() < TOLERANCE * logits.std()
        if f"{shown}.max_conf_time" in z:
            chosen = readout.choose(read).numpy() + wanted.start - readout.start
            np.testing.assert_array_equal(chosen, z[f"{shown}.max_conf_time"])


@torch.no_grad()
@pytest.mark.parametrize("fast", [False, True], ids=["direct", "fast"])
def test_both_kinds_of_convolution(reference: Path, fast: bool) -> None:
    z = np.load(reference / "convrnns" / "timedecay_shallow.decay06.npz")
    net = vs.create_model("timedecay_shallow").eval()
    net.fast_convolutions = fast
    load_convrnn(net, variables_of(z))
    out = net(images(), record=vs.Record(areas(net)))
    assert check_areas(net, z, "default", "out", {a: list(out[a].values.unbind(1)) for a in areas(net)}) < 2e-5
    assert np.abs(out.output.numpy() - z["default.logits"]).max() < TOLERANCE * z["default.logits"].std()


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
