from __future__ import annotations

import pytest
from user_cells import TAGS

import ventralstream.jsonable


@pytest.fixture(autouse=True)
def user_cells_registered(monkeypatch) -> None:
    """What a test registers does not outlive it."""
    monkeypatch.setattr(ventralstream.jsonable, "_TAGS", {**ventralstream.jsonable._TAGS, **TAGS})
