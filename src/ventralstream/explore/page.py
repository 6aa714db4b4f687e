"""The page that shows traces: one self-contained HTML file of our own scripts and styles, and the data in one block."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from ventralstream.errors import VentralError
from ventralstream.explore.trace import Trace
from ventralstream.report.palette import DARK, LIGHT, css_variables

MOST_BYTES = 5_000_000  # of a page
_ASSETS = files("ventralstream.explore") / "assets"
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (?=(\w+))", re.MULTILINE)


def page(
    traces: Sequence[Trace],
    tags: Sequence[str] = (),
    *,
    title: str = "",
    neural: Mapping[str, Any] | None = None,
) -> str:
    """The page of one trace, or of two beside each other; it needs nothing else, and fetches nothing.

    Args:
        traces: One or two, of the same images.
        tags: What to call each in a word or two; the networks' names by default.
        title: What stands at the top; the first network's name by default.
        neural: What was recorded, to be shown beside (`ventralstream.explore.neural`).

    Raises:
        VentralError: for traces of different images, or a page of more than 5 MB.
    """
    header, block = joined(traces, tags, title=title, neural=neural)
    text = _filled(header, base64.b64encode(gzip.compress(block, 9, mtime=0)).decode())
    if (size := len(text.encode())) > MOST_BYTES:
        raise VentralError(
            f"the page would have {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:g}; take fewer images or fewer steps"
        )
    return text


def live_page(options: Mapping[str, Any], title: str) -> str:
    """The same page without data, which asks a server for it.

    Args:
        options: What `live.js` needs: the address of the data, the token, and what can be chosen.
        title: What stands at the top.
    """
    return _filled({"live": dict(options), "title": title, "traces": []}, "")


def joined(
    traces: Sequence[Trace],
    tags: Sequence[str] = (),
    *,
    title: str = "",
    neural: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Traces side by side, as one header and one block."""
    if len(traces) not in (1, 2):
        raise VentralError(f"a page shows one trace or two; got {len(traces)}")
    if len({tuple(t.header["images"]["names"]) for t in traces}) > 1:
        raise VentralError("two traces beside each other must be of the same images")
    starts = [0, len(traces[0].block)]
    headers = [t.header | {"start": start} for t, start in zip(traces, starts, strict=False)]
    header = {
        "title": title or headers[0]["name"],
        "tags": list(tags) or [h["name"] for h in headers],
        "traces": headers,
        "neural": dict(neural) if neural else None,
    }
    return header, b"".join(t.block for t in traces)


def _filled(header: Mapping[str, Any], block: str) -> str:
    title = escape(str(header["title"]))
    colours = (
        f":root {{ color-scheme: light dark; {css_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {css_variables(DARK)} }} }}\n"
    )
    parts = {
        "title": f"{title} · ventralstream explorer",
        "heading": title,
        "style": colours + _asset("page.css"),
        "header": json.dumps(header, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"),
        "block": block,
        "script": script(),
        "foot": (
            "Keys: space plays, left and right step, comma and full stop change the image, [ and ] the area"
            + (", c the network shown." if len(header["traces"]) != 1 else ".")
            + " Made by ventralstream."
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))


@cache
def script() -> str:
    """The page's modules in one: each is a function that gives what it exports, after those that it imports."""
    made: dict[str, str] = {}

    def add(name: str) -> None:
        text = _asset(f"{name}.js")
        for _, needed in _IMPORT.findall(text):
            if needed not in made:
                add(needed)
        body = _EXPORT.sub(r"\1 ", _IMPORT.sub(r"const \1 = \2_module;\n", text))
        exported = ", ".join(named for _, named in _EXPORT.findall(text))
        made[name] = f"const {name}_module = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"

    add("main")
    return "\n".join(made.values())


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
