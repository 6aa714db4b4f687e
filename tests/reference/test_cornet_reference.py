"""The CORnets against the original code: every call of every area, and the logits, to 1e-4 of their deviation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from originals import FOLDER, cornet_tensor, images, shape_of

import ventralstream as vs
from ventralstream.published import load_cornet

pytestmark = pytest.mark.reference
TOLERANCE = 1e-4


def state_dict_of(z: np.lib.npyio.NpzFile) -> dict[str, torch.Tensor]:
    made = {}
    for i, (name, shape) in enumerate(zip(z["state_names"], z["state_shapes"], strict=True)):
        value = cornet_tensor(str(name), shape_of(str(shape)), round(float(z["gain"]), 6))
        made[str(name)] = torch.from_numpy(np.asarray(value))
        if str(name).endswith("num_batches_tracked"):
            continue
        first = value.ravel()[:4]
        np.testing.assert_array_equal(first, z["state_first4"][i][: first.size], err_msg=f"the generator of {name}")
    return made


@pytest.mark.parametrize("file", sorted((FOLDER / "cornet").glob("*.npz")), ids=lambda f: f.stem)
def test_areas_and_logits(file: Path) -> None:
    z = np.load(file)
    net, of_module = (vs.create_model(file.stem).eval() for _ in range(2))
    weights = state_dict_of(z)
    load_cornet(net, weights)
    load_cornet(of_module, {f"module.{name}": value for name, value in weights.items()})
    assert all(torch.equal(v, of_module.state_dict()[k]) for k, v in net.state_dict().items())
    with torch.no_grad():
        out = net(images(), record=vs.Record(["V1", "V2", "V4", "IT"]))
    for area in ("V1", "V2", "V4", "IT"):
        window = net.spec.area(area).window
        first = window[0] if window else 0
        calls = int(z[f"{area}.ncalls"])
        values = out[area].values
        steps = [out[area].steps.index(first + call) for call in range(calls)]
        for call, at in enumerate(steps):
            x = values[:, at].contiguous().numpy()
            assert list(x.shape) == z[f"{area}.shapes"][call].tolist()
            error = np.abs(x.ravel()[z[f"{area}.idx"][call]] - z[f"{area}.samples"][call]).max() / x.std()
            assert error < TOLERANCE, f"{area}, call {call}: {error:.1e}"
            np.testing.assert_allclose(x.std(dtype=np.float64), z[f"{area}.std"][call], rtol=TOLERANCE)
            np.testing.assert_allclose(x.mean(dtype=np.float64), z[f"{area}.mean"][call], atol=TOLERANCE * x.std())
    logits = z["logits"]
    assert np.abs(out.output.numpy() - logits).max() < TOLERANCE * logits.std()
