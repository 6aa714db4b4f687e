"""YAML as people write it: a table of plain values; what cannot be read is one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ventralstream.errors import VentralError, reason, shortened

_MOST = 1 << 20  # bytes; what we read is a few lines
LINES = "'option: value' lines"


class _Loader(yaml.SafeLoader):
    """YAML of plain values: no tags, no references to other parts (which can unfold without end), no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise VentralError("it refers to another part of itself with '*'; expected plain values")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise VentralError(f"the option '{shortened(key.value)}' stands there twice")
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


# "1e-3" is a number to everybody but YAML 1.1.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path, what: str, lines: str = LINES) -> dict[Any, Any]:
    """The table in a YAML (or JSON) file.

    Args:
        path: The file.
        what: What it is, for the message ("the config file 'x.yaml'").
        lines: What is expected in it, likewise.

    Raises:
        VentralError: it is not there, no text, too large, not valid YAML, or no table.
    """
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "is not there"
            raise VentralError(f"{what} {kind}; expected a YAML file of {lines}")
        if path.stat().st_size > _MOST:
            raise VentralError(f"{what} is larger than {_MOST >> 20} MiB; expected a few {lines}")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise VentralError(f"{what} is not text (UTF-8); expected {lines}") from None
    except OSError as error:
        raise VentralError(f"{what} cannot be read: {reason(error)}") from None
    return parse_yaml(text, what, lines)


def parse_yaml(text: str, what: str, lines: str = LINES) -> dict[Any, Any]:
    """The table in a text; see `read_yaml`."""
    try:
        data = yaml.load(text, _Loader)
    except VentralError as error:
        raise VentralError(f"{what} cannot be used: {error}") from None
    except RecursionError:
        raise VentralError(f"{what} is nested too deeply; expected {lines}") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or reason(error)
        raise VentralError(f"{what} is not valid YAML{line}: {problem}") from None
    if data is None:
        raise VentralError(f"{what} is empty; expected {lines}")
    if not isinstance(data, dict):
        raise VentralError(f"{what} holds {kind_of(data)}; expected {lines}")
    return data


def kind_of(value: Any) -> str:
    """What a value of a file is, in a word or two of a message."""
    if isinstance(value, bool):
        return str(value).lower()
    kinds: dict[type, str] = {list: "a list", dict: "a table", set: "a set", bytes: "binary", str: "a text"}
    return kinds.get(type(value)) or shortened(value)
