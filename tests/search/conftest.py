from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres import Server, programs
from small_space import small
from small_study import RECIPE

from ventralstream.search.objective import Objective, Sleep
from ventralstream.search.options import Search
from ventralstream.search.study import Study, create_study


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Study]:
    """Makes a study of the small space, of trials that take no time unless another objective is given."""

    def make(name: str = "study", objective: Objective | None = None, space=small, storage=None, **options) -> Study:
        search = Search(objective=objective or Sleep(seconds=0.0, epochs=2), **{"trials": 3, "startup": 2, **options})
        return create_study(name, storage or str(tmp_path / "search.db"), space, RECIPE, search)

    return make


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    found = Server()
    yield found
    found.remove()
