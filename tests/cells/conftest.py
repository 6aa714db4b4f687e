from __future__ import annotations

from collections.abc import Iterator

import pytest
from user_cells import TAGS

from ventralstream.jsonable import _TAGS


@pytest.fixture(autouse=True)
def user_cells_registered() -> Iterator[None]:
    """What a test registers does not outlive it; what of ours it was the first to import does."""
    before = {**_TAGS}
    _TAGS.update(TAGS)
    yield
    for tag in [
        tag for tag, of in _TAGS.items() if tag not in before and not of.__module__.startswith("ventralstream.")
    ]:
        del _TAGS[tag]
