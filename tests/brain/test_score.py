import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import ventralstream.brain as brain
from ventralstream.brain import Score


def test_json_says_everything_and_nan_is_none():
    value = xr.DataArray([0.5, np.nan], dims="time_bin", coords={"time_bin_start": ("time_bin", [0.0, 10.0])})
    score = Score(value, raw=0.25, per_split=np.array([[1.0, np.inf]]), n={"neuroids": np.int64(3)}, reason="too noisy")
    data = json.loads(json.dumps(score.to_json(), allow_nan=False))
    assert data["value"] == {"dims": ["time_bin"], "coords": {"time_bin_start": [0.0, 10.0]}, "values": [0.5, None]}
    assert data["raw"] == 0.25 and data["per_split"] == [[1.0, None]] and data["n"] == {"neuroids": 3}
    assert data["reason"] == "too noisy" and data["ceiling"] is None


def test_a_single_score_is_a_number():
    assert float(Score(xr.DataArray(0.5))) == 0.5


def test_importing_brain_is_light_and_every_name_is_there():
    code = "import sys, ventralstream.brain; print('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
    for module in pkgutil.iter_modules(brain.__path__, "ventralstream.brain."):
        importlib.import_module(module.name)
    for name in brain.__all__:  # a function must not share its name with a module, which would hide it
        assert name == "datasets" or not inspect.ismodule(getattr(brain, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        brain.nothing  # noqa: B018


def test_a_score_is_short_in_print_and_in_a_notebook():
    bins = {"time_bin_start": ("time_bin", np.arange(40.0))}
    over_time = xr.DataArray(np.linspace(-0.2, 0.6, 40), dims="time_bin", coords=bins)
    score = Score(
        over_time,
        raw=over_time,
        ceiling=0.75,
        formula="r2_over_ceiling",
        rule="r^2 / c with the sign of r",
        n={"stimuli": 640, "neuroids": 50, "neuroids_missing": 0},
        per_neuroid=np.random.default_rng(0).normal(size=(50, 40)),
        reason="<b>",
    )
    text = repr(score)
    assert len(text) < 400 and "array" not in text and str(score) == text
    for part in (
        "value 0.200, the mean over 40 time_bins (-0.200 to 0.600)",
        "ceiling 0.750",
        "640 stimuli, 50 neuroids",
    ):
        assert part in text
    assert "r2_over_ceiling: r^2 / c with the sign of r" in text and "missing" not in text
    page = score._repr_html_()
    assert page.startswith("<table>") and "&lt;b&gt;" in page and "<b>" not in page
    assert repr(Score(0.5, error=0.01, interval=np.array([0.4, 0.6]))) == (
        "Score(value 0.500 ± 0.010 (95 %: 0.400 to 0.600); formula raw)"
    )
    assert "value NaN" in repr(Score(float("nan")))
