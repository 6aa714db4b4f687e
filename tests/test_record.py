"""Records: what may be asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ventralstream as vs


@pytest.mark.parametrize(
    "steps", [[0, 1, 2], (0, 1, 2), range(3), np.arange(3), torch.arange(3), [np.int8(0), 1, np.uint32(2)]]
)
def test_steps_of_any_kind(steps) -> None:
    record = vs.Record("V1", steps)
    assert record == vs.Record("V1", (0, 1, 2)) and hash(record) == hash(vs.Record("V1", (0, 1, 2)))
    assert {type(step) for step in record.steps} == {int}


def test_one_step_of_any_kind() -> None:
    assert {vs.Record("V1", step) for step in (5, np.int64(5), np.array(5), torch.tensor(5))} == {vs.Record("V1", [5])}


@pytest.mark.parametrize("steps", [2.5, "3", ["3"], [2.5], [True], [None], np.array([1.0]), object()])
def test_other_steps_are_one_sentence(steps) -> None:
    with pytest.raises(vs.VentralError, match=r"a record's step is .*; expected a whole number$"):
        vs.Record("V1", steps)


def test_nothing_to_record_is_one_sentence() -> None:
    with pytest.raises(vs.VentralError, match="at least one step"):
        vs.Record("V1", [])


@pytest.mark.parametrize("areas", [5, None, ["V1", 3], b"V1", [None], vs.Record])
def test_other_areas_are_one_sentence(areas) -> None:
    with pytest.raises(vs.VentralError, match=r"a record's areas is .*; expected names of areas"):
        vs.Record(areas)


def test_names_of_numpys_are_names() -> None:
    assert vs.Record(np.array(["V1", "IT"])) == vs.Record(["V1", "IT"])
    assert type(vs.Record(np.str_("V1")).areas[0]) is str
