"""The links of a built site: all of them are followed, as a browser would from `python -m http.server`."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.request import urlopen


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
    waiting = [home + "index.html"]
    wanted: list[tuple[str, str, str]] = []  # from, address, place
    while waiting:
        address = waiting.pop()
        if address in pages or address in gone:
            continue
        try:
            with urlopen(address) as answer:
                content = answer.read()
                is_page = answer.headers.get_content_type() == "text/html"
                pages[address] = _Page(content.decode()) if is_page else None
        except HTTPError:
            gone.add(address)
            continue
        for link in pages[address].links if pages[address] else ():
            target, place = urldefrag(urljoin(address, link))
            if urlsplit(target).netloc == urlsplit(home).netloc:
                waiting.append(target)
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
