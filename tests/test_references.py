"""Pages are found from the README, links lead somewhere, and papers are named so that a reader finds what is meant."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
SOURCES = tuple(
    path
    for folder in ("src", "tests", "scripts", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
)


def test_links_lead_to_files() -> None:
    lost = [
        f"{page.name}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if not link.startswith(("http://", "https://")) and not (page.parent / link).exists()
    ]
    assert lost == []


def test_references_name_sections_of_the_page_of_papers() -> None:
    sections = set(re.findall(r"^### ([ABC]\.\d+) ", (ROOT / "docs/papers.md").read_text(), re.M))
    wrong = []
    for path in (*SOURCES, *PAGES):
        text = re.sub(r"\s+#?\s*", " ", path.read_text())
        for where, named in re.findall(r"(\S*)papers\.md`? ((?:[ABC]\.\d+(?:-|, | and )?)+)", text):
            if not where.endswith("docs/") or set(re.findall(r"[ABC]\.\d+", named)) - sections:
                wrong.append(f"{path.name}: {where}papers.md {named}")
    assert sections and wrong == []


def test_papers_are_named_by_author_and_year() -> None:
    letters = re.compile(r"\b[Pp]apers? [ABC]\b")
    assert [path.name for path in (*SOURCES, *PAGES) if letters.search(path.read_text())] == []
