"""Builds the documentation as a site, and follows its links: python scripts/site.py [--out build/site]

Every warning is an error. Tutorials are executed; one whose text was not changed since it last ran here is not executed
again (`--fresh` executes all).
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Builds and checks; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="where the site is written")
    parser.add_argument("--fresh", action="store_true", help="execute all tutorials again")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    if given.fresh:
        shutil.rmtree(ROOT / "build" / "notebooks", ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-j", "2", *(["-E", "-a"] if given.fresh else [])]
    folders = [str(ROOT / "docs"), str(given.out)]
    if done := subprocess.call([sys.executable, "-m", "sphinx", *options, *folders]):
        return done
    seen, dead = crawl(given.out)
    for line in dead:
        print(line, file=sys.stderr)
    unseen = {p.relative_to(given.out).as_posix() for p in given.out.rglob("*.html")} - seen
    for name in sorted(unseen):
        print(f"no page links to {name}", file=sys.stderr)
    took = time.monotonic() - began
    print(f"{len(seen)} files are linked, {len(dead)} links are dead; {took:.0f} s; open {given.out / 'index.html'}")
    return 1 if dead or unseen else 0


def crawl(site: Path) -> tuple[set[str], list[str]]:
    """Serves a site as `python -m http.server` does and follows its links, those to places within pages too.

    Links out of the site are not followed.

    Returns:
        The paths of the files that were reached, and a sentence for each dead link.
    """
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return _crawl(f"http://127.0.0.1:{server.server_address[1]}/")
        finally:
            server.shutdown()


def _crawl(home: str) -> tuple[set[str], list[str]]:
    pages: dict[str, _Page | None] = {}  # None: there, and no page; missing ones are in `gone`
    gone: set[str] = set()
    waiting = [(home + "index.html", "")]
    wanted: list[tuple[str, str, str]] = []  # from, address, place
    while waiting:
        address, origin = waiting.pop()
        if address in pages or address in gone:
            continue
        try:
            with urlopen(address) as answer:
                is_page = answer.headers.get_content_type() == "text/html"
                pages[address] = _Page(answer.read().decode()) if is_page else None
        except HTTPError as error:
            gone.add(address)
            wanted.append((origin, address, f"({error.code})"))
            continue
        for link in pages[address].links if pages[address] else ():
            target, place = urldefrag(urljoin(address, link))
            if urlsplit(target).netloc == urlsplit(home).netloc:
                waiting.append((target, address))
                wanted.append((address, target, place))
    return {a.removeprefix(home) for a in pages}, sorted(_dead(home, pages, gone, wanted))


def _dead(
    home: str, pages: dict[str, _Page | None], gone: set[str], wanted: list[tuple[str, str, str]]
) -> Iterator[str]:
    for origin, target, place in dict.fromkeys(wanted):
        page = pages.get(target)
        if target in gone:
            yield f"{origin.removeprefix(home)}: {target.removeprefix(home)} is not there"
        elif place and page is not None and place not in page.places:
            yield f"{origin.removeprefix(home)}: {target.removeprefix(home)} has no #{place}"


class _Page(HTMLParser):
    """The links of a page, and the places in it that links can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "data") and value and (tag != "object" or name == "data"):
                self.links.append(value)
            if name == "id" or (name == "name" and tag == "a"):
                self.places.add(value or "")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
