"""Docstrings name pages as files (`docs/papers.md B.4`): in the reference these are links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
_SECTIONS = {
    number: re.sub(r"[^a-z0-9]+", "-", f"{number} {title}".lower()).strip("-")  # as docutils makes them
    for number, title in re.findall(r"^### ([ABC]\.\d+) (.*)$", (DOCS / "papers.md").read_text(), re.M)
}
_OF_PAPERS = re.compile(r"`?docs/papers\.md`?((?: |, | and |-|\s)*[ABC]\.\d+(?:(?:-|, | and )[ABC]\.\d+)*)")
_PAGE = re.compile(r"`?docs/([\w/-]+)\.md`?")


def linked(text: str) -> str:
    """A docstring's line with links, as seen from a page in `reference/`."""
    text = _OF_PAPERS.sub(lambda found: re.sub(r"[ABC]\.\d+", _section, found[1].strip()), text)
    return _PAGE.sub(_page, text)


def _section(found: re.Match[str]) -> str:
    return f"`{found[0]} <../papers.html#{_SECTIONS[found[0]]}>`__"


def _page(found: re.Match[str]) -> str:
    page = DOCS / f"{found[1]}.md"
    if not page.is_file():
        raise FileNotFoundError(f"a docstring names {found[0]}, which is not there")
    title = page.read_text().split("\n# ", 1)[-1].removeprefix("# ").splitlines()[0]
    return f"`{title} <../{found[1]}.html>`__"


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = linked("\n".join(lines)).split("\n")


def _types(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A type whose name ends with an underscore (`numpy.str_`) is no link to something."""
    lines[:] = [re.sub(r"(\w)_(?!\w)", r"\1\\_", x) if x.startswith(":vartype") else x for x in lines]


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _types, priority=600)  # after napoleon
    return {"parallel_read_safe": True}
