"""`--config file.yaml`: a command's options from a file; what is given on the command line wins."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

from ventralstream.errors import VentralError, shortened, unknown
from ventralstream.yaml_file import kind_of, read_yaml


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
    for key, value in read_yaml(path, what).items():
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
        raise VentralError(f"{what} is {kind_of(value)}; expected {wanted}")
    return value if types & {bool, int, float} else str(value)


CONFIG = typer.Option(
    None,
    "--config",
    help="YAML file with these options; the command line wins over it.",
    callback=_load,
    is_eager=True,
)
