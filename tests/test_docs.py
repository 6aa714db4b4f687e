"""The Python blocks of the README and of each page in docs/ run as they stand, in order, in one namespace a page."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

import ventralstream.jsonable
import ventralstream.models  # knows all that can be in a JSON file, before a page adds to it

ROOT = Path(__file__).parent.parent
PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))) if "```python" in p.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = dict(ventralstream.jsonable._TAGS)
    monkeypatch.setattr(ventralstream.jsonable, "_TAGS", known)  # a page's own cells do not outlive it
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(compile(block, str(page), "exec", dont_inherit=True), module.__dict__)
