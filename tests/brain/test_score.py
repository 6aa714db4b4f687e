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
        assert not inspect.ismodule(getattr(brain, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        brain.nothing  # noqa: B018
