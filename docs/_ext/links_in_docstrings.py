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
    return _PAGE.sub(lambda found: f"`{_title(found[1])} <../{found[1]}.html>`__", text)


def _section(found: re.Match[str]) -> str:
    return f"`{found[0]} <../papers.html#{_SECTIONS[found[0]]}>`__"


def _title(page: str) -> str:
    return (DOCS / f"{page}.md").read_text().split("# ", 1)[1].splitlines()[0]


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = linked("\n".join(lines)).split("\n")


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon
    return {"parallel_read_safe": True}
