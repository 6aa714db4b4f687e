"""The Python blocks of the README and of each page in docs/ run as they stand, in order, in one namespace a page.

Tutorials are executed where the site is built, by `python scripts/build_site.py`.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from pathlib import Path

import pytest

import ventralstream.jsonable

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [p for p in (ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))) if "```python" in p.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    module, tags = types.ModuleType("page"), ventralstream.jsonable._TAGS
    monkeypatch.setitem(sys.modules, "page", module)
    try:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
            exec(compile(block, str(page), "exec", dont_inherit=True), module.__dict__)
    finally:  # a page's own cells do not outlive it; what it was the first to import does
        for tag in [tag for tag, of in tags.items() if of.__module__ == "page"]:
            del tags[tag]


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


def test_every_public_name_is_in_the_reference_once(extensions: None) -> None:
    from objects import listed

    names = [pair for page in (DOCS / "reference").glob("*.md") for pair in listed(page.read_text())]
    there = [id(getattr(importlib.import_module(module), name)) for module, name in names]
    twice = [name for name, i in zip(names, there, strict=True) if there.count(i) > 1]
    assert twice == []
    for module in (ventralstream, ventralstream.brain):
        public = {name: getattr(module, name) for name in module.__all__}
        missing = [n for n, v in public.items() if id(v) not in there and not isinstance(v, types.ModuleType)]
        assert missing == [], f"{module.__name__}: put these on a page in docs/reference"


def test_every_command_and_option_is_in_the_reference(extensions: None) -> None:
    from command_line import commands

    text = commands()
    for said in ("## `ventral train`", "### `ventral brain score`", "| `--recipe` | the defaults shown here |"):
        assert said in text
    assert all(line.count("|") - line.count("\\|") == 4 for line in text.splitlines() if line.startswith("|"))


def test_papers_in_docstrings_become_links(extensions: None) -> None:
    from links_in_docstrings import linked

    assert linked("as published (docs/papers.md B.4).") == (
        "as published (`B.4 <../papers.html#b-4-neural-predictivity>`__)."
    )
    assert linked("see docs/papers.md A.9, B.6.").count("`__") == 2
    assert linked("see `docs/how-to/hooks.md`") == "see `Hooks, adapters and other tools <../how-to/hooks.html>`__"


def test_dead_links_and_lost_pages_of_a_site_are_found(extensions: None, tmp_path: Path) -> None:
    from links import crawl

    (tmp_path / "index.html").write_text(
        '<a href="a.html#here">a</a><a href="a.html#there">b</a><img src="no.png"><a href="https://elsewhere.org/x">c</a>'
    )
    (tmp_path / "a.html").write_text('<p id="here"></p><a href="index.html">home</a><a href="sub/">sub</a>')
    (tmp_path / "lost.html").write_text("")
    seen, dead = crawl(tmp_path)
    assert seen == {"index.html", "a.html"}
    assert dead == ["a.html: sub/ is not there", "index.html: a.html has no #there", "index.html: no.png is not there"]
