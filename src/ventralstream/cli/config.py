"""`--config file.yaml`: a command's options from a file; what is given on the command line wins."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
import yaml

from ventralstream.errors import VentralError, reason, shortened, unknown

_MOST = 1 << 20  # bytes; options are a few lines


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


def _load(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        context.default_map = {**(context.default_map or {}), **_options(context, path)}
    return path


def _options(context: typer.Context, path: Path) -> dict[str, Any]:
    """The options in a file, by the names of the command's parameters."""
    what = f"the config file '{shortened(path)}'"
    hints = get_type_hints(inspect.unwrap(context.command.callback or _options))
    parameters = {}
    for parameter in context.command.params:
        if parameter.name not in ("config", "help"):
            for option in (*parameter.opts, parameter.name or ""):
                parameters[option.lstrip("-").replace("-", "_")] = parameter
    given: dict[str, Any] = {}
    for key, value in _read(path, what).items():
        name = str(key).replace("-", "_")
        if name not in parameters:
            raise unknown("option", key, sorted({p.opts[-1].lstrip("-") for p in parameters.values()}), f" in {what}")
        parameter = parameters[name]
        if parameter.name in given:
            raise VentralError(f"{what} gives the option '{key}' twice")
        given[str(parameter.name)] = _checked(
            value, hints.get(str(parameter.name), str), f"the option '{key}' in {what}"
        )
    return given


def _read(path: Path, what: str) -> dict[Any, Any]:
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "is not there"
            raise VentralError(f"{what} {kind}; expected a YAML file of 'option: value' lines")
        if path.stat().st_size > _MOST:
            raise VentralError(f"{what} is larger than {_MOST >> 20} MiB; expected a few 'option: value' lines")
        text = path.read_text(encoding="utf-8-sig")
        data = yaml.load(text, _Loader)
    except VentralError as error:
        raise VentralError(str(error) if str(error).startswith(what) else f"{what} cannot be used: {error}") from None
    except UnicodeDecodeError:
        raise VentralError(f"{what} is not text (UTF-8); expected 'option: value' lines") from None
    except RecursionError:
        raise VentralError(f"{what} is nested too deeply; expected 'option: value' lines") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or reason(error)
        raise VentralError(f"{what} is not valid YAML{line}: {problem}") from None
    except OSError as error:
        raise VentralError(f"{what} cannot be read: {reason(error)}") from None
    if data is None:
        raise VentralError(f"{what} is empty; expected 'option: value' lines")
    if not isinstance(data, dict):
        raise VentralError(f"{what} holds {_kind(data)}; expected 'option: value' lines")
    return data


def _checked(value: Any, hint: Any, what: str) -> Any:
    """The value, if it is of the option's type: Typer would make something of it without a word."""
    types = {part for part in (hint, *get_args(hint)) if isinstance(part, type)}
    if value is None:
        raise VentralError(f"{what} has no value; leave it out for the default")
    if list in {get_origin(part) for part in (hint, *get_args(hint))} and isinstance(value, list):
        return [_checked(part, str, what) for part in value]
    if bool in types:
        right, wanted = isinstance(value, bool), "true or false"
    elif isinstance(value, bool):
        right, wanted = False, "a number" if types & {int, float} else "a text (in quotes)"
    elif int in types:
        right, wanted = isinstance(value, (int, str)), "a whole number"
    else:
        right, wanted = isinstance(value, (int, float, str)), "a number" if float in types else "a text"
    if not right:
        raise VentralError(f"{what} is {_kind(value)}; expected {wanted}")
    return value if types & {bool, int, float} else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    kinds: dict[type, str] = {list: "a list", dict: "a table", set: "a set", bytes: "binary", str: "a text"}
    return kinds.get(type(value)) or shortened(value)


CONFIG = typer.Option(
    None,
    "--config",
    help="YAML file with these options; the command line wins over it.",
    callback=_load,
    is_eager=True,
)
