import numpy as np
import pytest
import xarray as xr
from planted import at_one_time, model_areas, neurons

from ventralstream.brain.mapping.dynamics import assign_areas, delayed, generalisation_over_time, lags, time_courses
from ventralstream.brain.mapping.pls import PLS
from ventralstream.brain.mapping.predictivity import predictivity
from ventralstream.brain.mapping.ridge import Ridge, RidgeCV
from ventralstream.errors import VentralError

MAPPINGS = {"pls": PLS(5), "ridge": Ridge(), "ridge_cv": RidgeCV((0.1, 1.0, 10.0, 100.0))}
QUICK = {"splits": 3, "train_size": 0.7, "halvings": 4, "resamples": 0}


@pytest.fixture(scope="module")
def areas():
    return model_areas(stimuli=200, channels=5, steps=5, areas=("V1", "V4", "IT"))


@pytest.mark.parametrize("over_time", ["per_bin", "shared"])
@pytest.mark.parametrize("mapping", list(MAPPINGS))
def test_the_planted_lag_and_area_are_found(areas, mapping, over_time):
    options = {"mapping": MAPPINGS[mapping], "over_time": over_time, **QUICK}
    v4, it = (neurons(areas[a], 12, lag_steps=2, region=a, seed=s) for a, s in (("V4", 1), ("IT", 2)))
    found = lags(areas["IT"], it, [0, 10, 20, 30], **options)
    assert found.attrs["best_lag_ms"] == 20 and found["value"].sel(lag_ms=20) == pytest.approx(1, abs=0.05)
    assert found["raw"].sel(lag_ms=[0, 10, 30]).max() < 0.8 and found.attrs["time_bins"] == 2
    both = xr.concat([v4, it], "neuroid")
    late = {area: delayed(f, 20) for area, f in areas.items()}
    assigned = assign_areas(late, both, **{**options, "resamples": 50})
    assert {region: a.area for region, a in assigned.items()} == {"V4": "V4", "IT": "IT"}
    for assignment in assigned.values():
        assert assignment.score.value.values == pytest.approx(1, abs=0.08)
        low, high = np.asarray(assignment.score.interval).mean(1)
        assert low <= 1 <= high < 1.08
        assert len(assignment.chosen_by) == assignment.score.n["neuroids"] == 6
        assert list(assignment.candidates) == ["V1", "V4", "IT"]


def test_assignment_scores_neuroids_that_did_not_choose(areas):
    recordings = neurons(areas["IT"], 9)
    (assigned,) = assign_areas(areas, recordings, **QUICK, mapping="ridge").values()
    scored = set(assigned.score.per_neuroid["neuroid_id"].values.tolist())
    assert len(scored) == 5 and not scored & set(assigned.chosen_by)
    assert assign_areas(areas, recordings, **QUICK, mapping="ridge", seed=3)["IT"].chosen_by != assigned.chosen_by


def test_one_read_out_for_all_times_generalises_and_a_changing_one_does_not(areas):
    features, still = areas["IT"], neurons(areas["IT"], 12)
    table = generalisation_over_time(features, still, "ridge", splits=3)
    assert table["value"].shape == (5, 5) and (table["value"] > 0.85).all()
    assert table["test_bin_start"].values.tolist() == [0, 10, 20, 30, 40]
    own = predictivity(features, still, "ridge", splits=3, resamples=0)
    assert np.diag(table["value"]) == pytest.approx(own.raw.values, abs=1e-9)
    assert table["ceiling"].values == pytest.approx(own.ceiling.values, abs=1e-9)
    changing = xr.concat(
        [neurons(features, 12, seed=s).isel(time_bin=[t]) for t, s in enumerate((7, 7, 8, 8, 8))], "time_bin"
    )
    value = generalisation_over_time(features, changing, "ridge", splits=3)["value"].values
    assert (np.diag(value) > 0.85).all() and value[0, 1] > 0.85 and value[3, 4] > 0.85
    assert abs(value[:2, 2:]).max() < 0.7 and abs(value[2:, :2]).max() < 0.7


def test_generalisation_of_many_features_is_the_same(areas):
    wide = at_one_time(areas["IT"])
    wide = xr.concat([wide] * 80, "neuroid")
    recordings = neurons(areas["IT"], 6)
    table = generalisation_over_time(wide, recordings, Ridge(1.0), splits=2)
    assert np.diag(table["value"]) == pytest.approx(
        predictivity(wide, recordings, "ridge", splits=2, resamples=0).raw.values, abs=1e-9
    )


def test_time_courses_of_a_model_and_its_controls(areas):
    full = areas["IT"]
    silent = full.where(full["time_bin_start"] < 30, 0.0)
    recordings = neurons(full, 12)
    models = {"recurrent": full, "feedforward": silent}
    options = {"mapping": "ridge", "over_time": "shared", "resamples": 50}
    courses = time_courses(models, recordings, **options)
    assert courses["value"].dims == ("model", "time_bin") and courses["ceiling"].dims == ("time_bin",)
    assert (courses["value"].sel(model="recurrent") > 0.9).all()
    assert courses["value"].sel(model="feedforward").values[3:].tolist() == [0.0, 0.0]
    assert (courses["lower"] <= courses["value"]).all() and (courses["value"] <= courses["upper"]).all()
    alone = predictivity(full, recordings, **options)
    assert (courses["raw"].sel(model="recurrent").values == alone.raw.values).all()
    assert courses.attrs["formula"] == "r2_over_ceiling" and courses.attrs["neuroids"] == 12
    noisy = time_courses({"a": full}, neurons(full, 12, repetitions=1), mapping="ridge", resamples=0)
    assert np.isnan(noisy["value"]).all() and "one repetition only" in noisy.attrs["reason: a"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda f, r: lags(f["IT"], r, [1000]), "no recorded time bin has features at all of the lags"),
        (lambda f, r: delayed(at_one_time(f["IT"]), 10), "cannot be delayed"),
        (lambda f, r: time_courses({}, r), "no model to score"),
        (lambda f, r: time_courses(f, at_one_time(r)), "not resolved in time"),
        (lambda f, r: generalisation_over_time(f["IT"], at_one_time(r)), "not resolved in time"),
        (lambda f, r: assign_areas({}, r), "no model area"),
        (lambda f, r: assign_areas(f, r.isel(neuroid=[0])), "has one neuroid"),
        (lambda f, r: assign_areas(f, r, mapping="rigde"), "did you mean 'ridge'"),
    ],
)
def test_bad_input_is_a_sentence(areas, call, says):
    with pytest.raises(VentralError, match=says):
        call(areas, neurons(areas["IT"], 4, repetitions=2))


def test_an_area_that_cannot_be_scored_is_passed_over():
    areas = model_areas(120, channels=6, steps=2)
    narrow = areas["V4"].isel(neuroid=slice(0, 2))
    recorded = neurons(areas["IT"], 8)
    (found,) = assign_areas({"narrow": narrow, "IT": areas["IT"]}, recorded, mapping=PLS(4), **QUICK).values()
    assert found.area == "IT" and "PLS with 4 components" in found.candidates["narrow"].reason
    with pytest.raises(VentralError, match=r"PLS with 4 components; .* take ridge"):
        assign_areas({"narrow": narrow}, recorded, mapping=PLS(4), **QUICK)
