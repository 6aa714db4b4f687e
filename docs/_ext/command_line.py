"""The reference of the command line, made of the commands themselves where a page says `<!-- commands -->`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from ventralstream.cli.commands import app as ventral

HERE = "<!-- commands -->"


def commands() -> str:
    """Markdown: each command with its arguments and options."""
    return "\n".join(_command(typer.main.get_command(ventral), "ventral", 2))


def _command(command: Any, name: str, level: int) -> Iterator[str]:
    if name != "ventral":
        yield f"{'#' * level} `{name}`\n"
        yield _prose(command.help) + "\n"
        yield from _parameters(command.params)
    for part in getattr(command, "commands", {}).values():
        yield from _command(part, f"{name} {part.name}", level + (name != "ventral"))


def _parameters(parameters: list[Any]) -> Iterator[str]:
    shown = [p for p in parameters if p.name != "help" and not getattr(p, "hidden", False)]
    panels = dict.fromkeys(getattr(p, "rich_help_panel", None) or "" for p in shown)
    for panel in panels:
        if panel:
            yield f"**{panel}**\n"
        yield "| | default | |\n| --- | --- | --- |"
        for p in shown:
            if (getattr(p, "rich_help_panel", None) or "") == panel:
                yield f"| {_names(p)} | {_default(p)} | {_cell(p.help or '')} |"
        yield ""


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return f"`{(parameter.metavar or parameter.name).upper()}`"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.default in (None, False, (), []) or callable(parameter.default):
        return ""
    return f"`{parameter.default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _prose(text: str | None) -> str:
    text = (text or "").replace("\b\n", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _read(app: Any, docname: str, source: list[str]) -> None:
    if HERE in source[0]:
        source[0] = source[0].replace(HERE, commands())


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
