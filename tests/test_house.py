"""The house rules that no other tool checks."""

from __future__ import annotations

from pathlib import Path

import pytest

import ventralstream as vs

SRC = Path(vs.__file__).parent
MAP = SRC.parents[1] / "CONTRIBUTING.md"
MOST_LINES = 400


def test_no_file_is_longer_than_a_reader_likes():
    long = {
        str(p.relative_to(SRC)): n for p in SRC.rglob("*.py") if (n := len(p.read_text().splitlines())) > MOST_LINES
    }
    assert not long


def test_the_map_of_rooms_is_true():
    if not MAP.is_file():
        pytest.skip("the package is not installed from a checkout, so there is no CONTRIBUTING.md beside it")
    rooms = {p.name + "/" if p.is_dir() else p.name for p in SRC.iterdir() if not p.name.startswith(("_", "."))}
    rooms -= {"py.typed", "version.py"}
    text = MAP.read_text()
    table = text[text.index("| room |") : text.index("## Words")]
    named = {word for word in table.split("`")[1::2] if word.endswith((".py", "/"))}
    named -= {"recordings/", "mapping/", "behaviour/", "similarity/", "tests/"}
    assert rooms - named == set(), "CONTRIBUTING.md does not say where these are"
    assert {n for n in named if not (SRC / n).exists()} - {"cli/options.py"} == set(), (
        "CONTRIBUTING.md speaks of what is not there"
    )
