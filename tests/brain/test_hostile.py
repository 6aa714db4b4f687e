"""Whatever array a function is given, it gives a result or one sentence, never another error."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ventralstream import brain
from ventralstream.errors import VentralError

N, REPETITIONS = 12, 3
IDS, OBJECTS = [f"image{i}" for i in range(N)], [f"object{i % 3}" for i in range(N)]
BINS = [(0, 10), (10, 20)]


def array(repetitions, units):
    values = np.random.default_rng(0).normal(size=(N * repetitions, units, 2))
    return brain.assembly(
        values,
        stimulus_id=IDS * repetitions,
        object_name=OBJECTS * repetitions,
        repetition=np.repeat(np.arange(repetitions), N),
        region=["V4", "IT"] * (units // 2),
        time_bins_ms=BINS,
    )


def without(name, dim, nothing):
    """One value of a coordinate is nothing."""

    def change(x):
        column = np.array([*x[name].values.tolist()], dtype=object)
        column[1] = nothing
        return x.assign_coords({name: (dim, column)})

    return change


CHANGES = {
    "an array": lambda x: x.values,
    "nothing": lambda x: None,
    "a data set": lambda x: x.to_dataset(name="data"),
    "transposed": lambda x: x.T,
    "no time": lambda x: x.isel(time_bin=0, drop=True),
    "no ids": lambda x: x.drop_vars("stimulus_id"),
    "one id for all": lambda x: x.drop_vars("stimulus_id").assign_coords(stimulus_id="a"),
    "other dimensions": lambda x: x.rename(neuroid="neuron"),
    "more dimensions": lambda x: x.expand_dims("animal"),
    "an index": lambda x: x.set_index(presentation=["stimulus_id", "repetition"]),
    "dimension coordinates": lambda x: x.assign_coords(presentation=np.arange(len(x))),
    "bins turned round": lambda x: x.isel(time_bin=slice(None, None, -1)),
    "a bin without a time": lambda x: x.assign_coords(time_bin_start=("time_bin", [np.nan, 10.0])),
    "bins of text": lambda x: x.assign_coords(time_bin_start=("time_bin", ["a", "b"])),
    "empty": lambda x: x[:0],
    "one presentation": lambda x: x[:1],
    "one unit": lambda x: x[:, :1],
    "all missing": lambda x: x * np.nan,
    "some missing": lambda x: x.where(x < 1),
    "infinite": lambda x: x.where(x < 1, np.inf),
    "constant": lambda x: x * 0,
    **{f"of type {t}": (lambda x, t=t: x.astype(t)) for t in ("int8", "bool", "float16", "complex64", "object", "str")},
    **{
        f"{name} is {nothing!r}": without(name, dim, nothing)
        for name, dim in (("stimulus_id", "presentation"), ("repetition", "presentation"), ("region", "neuroid"))
        for nothing in (None, np.nan, pd.NA, "")
    },
}
QUICK = {"mapping": "ridge", "splits": 2, "resamples": 2}
CALLS = {
    "predictivity": lambda f, r: brain.predictivity(f, r, **QUICK),
    "consistency": lambda f, r: brain.internal_consistency(r),
    "time": lambda f, r: brain.align_time(f, r),
    "rebin": lambda f, r: brain.rebin(r, [(0, 20)]),
    "select": lambda f, r: brain.select(r, region="V4"),
    "decode": lambda f, r: brain.decoded_over_time(r, folds=2),
    "rsa": lambda f, r: brain.rsa_over_time(f, r),
    "choice": lambda f, r: brain.choice_probabilities(f[..., 0], f[..., 0]) if isinstance(f, xr.DataArray) else None,
    "i1": lambda f, r: brain.i1_over_time(f, f),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_result_or_one_sentence(call):
    for name, change in CHANGES.items():
        for f, r in ((change, lambda x: x), (lambda x: x, change)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    call(f(array(1, 6)), r(array(REPETITIONS, 4)))
                except VentralError as error:
                    assert "\n" not in str(error), name
