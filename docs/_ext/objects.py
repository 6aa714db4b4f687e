"""Pages of the reference list names of a module; here each becomes its class, function or value, from its docstring.

A page says

    ```{objects} ventralstream
    create_model Network
    ```
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from ventralstream.lazy import _homes

BLOCK = re.compile(r"^```\{objects\} (\S+)\n(.*?)^```$", re.M | re.S)


def listed(text: str) -> list[tuple[str, str]]:
    """The (module, name) that a page lists, in order."""
    return [(module, name) for module, names in BLOCK.findall(text) for name in names.split()]


def _documented(found: re.Match[str]) -> str:
    module = importlib.import_module(found[1])
    lines = ["```{eval-rst}", f".. currentmodule:: {found[1]}", ""]
    for name in found[2].split():
        kind = _kind(getattr(module, name))
        if kind == "data":  # what is said of a value stands where it is made
            name = f"{_homes(found[1])[name][0]}.{name}" if hasattr(module, "__getattr__") else name
        lines += [f".. auto{kind}:: {name}", *(["   :no-value:"] if kind == "data" else []), ""]
    return "\n".join([*lines, "```"])


def _kind(value: object) -> str:
    if inspect.ismodule(value):
        return "module"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) else "data"


def _read(app: Any, docname: str, source: list[str]) -> None:
    source[0] = BLOCK.sub(_documented, source[0])


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
