"""`--config file.yaml`: a command's options from a file; what is given on the command line wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ventralstream.errors import VentralError, unknown


def _load(context: typer.Context, path: Path | None) -> Path | None:
    if path is None:
        return None
    import yaml

    if not path.is_file():
        raise VentralError(f"there is no config file '{path}'")
    try:
        data: Any = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise VentralError(f"the config file '{path}' is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise VentralError(f"the config file '{path}' must hold 'option: value' lines")
    names = [p.name for p in context.command.params if p.name not in (None, "config", "help")]
    given = {}
    for key, value in data.items():
        name = str(key).replace("-", "_")
        if name not in names:
            raise unknown("option", key, names, f" in '{path}'")
        given[name] = value
    context.default_map = {**(context.default_map or {}), **given}
    return path


CONFIG = typer.Option(
    None,
    "--config",
    help="YAML file with these options; the command line wins over it.",
    callback=_load,
    is_eager=True,
)
