"""The house rules that no other tool checks."""

from __future__ import annotations

from pathlib import Path

import ventralstream as vs

SRC = Path(vs.__file__).parent
MOST_LINES = 400


def test_no_file_is_longer_than_a_reader_likes():
    long = {
        str(p.relative_to(SRC)): n for p in SRC.rglob("*.py") if (n := len(p.read_text().splitlines())) > MOST_LINES
    }
    assert not long
