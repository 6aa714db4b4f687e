"""Recipes by name or from a file: nested YAML, as people write it, or JSON, as a run's folder holds it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from ventralstream.errors import VentralError, printable, unknown
from ventralstream.jsonable import from_json
from ventralstream.training.recipe import Recipe
from ventralstream.yaml_file import parse_yaml, read_yaml

ABOUT = "about"  # in a file: what the recipe is and where it is from, in a line
RUN_RECIPE = "recipe.json"


def list_recipes() -> dict[str, str]:
    """The recipes in the package: what each is, by name."""
    return {name: _packaged(name)[1] for name in _names()}


def load_recipe(source: str | Path) -> Recipe:
    """A recipe by its name in the package, or from a file.

    Args:
        source: A name of `list_recipes`; a YAML (or JSON) file of a recipe's fields, those left out having their
            defaults; or the folder of a run, which was trained by the recipe that lies in it.

    Raises:
        VentralError: an unknown name (the nearest one is named), a file that cannot be read, or fields that do not fit.
    """
    if str(source) in _names():
        return _packaged(str(source))[0]
    path = Path(source)
    if path.is_dir():
        path = path / RUN_RECIPE
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        raise unknown("recipe", str(source), _names())
    what = f"the recipe '{printable(path)}'"
    return _made(read_yaml(path, what, "'field: value' lines"), what)[0]


def _names() -> list[str]:
    return sorted(f.name.removesuffix(".yaml") for f in _folder().iterdir() if f.name.endswith(".yaml"))


def _folder() -> Any:
    return files("ventralstream.training").joinpath("recipes")


def _packaged(name: str) -> tuple[Recipe, str]:
    what = f"the recipe '{name}'"
    return _made(parse_yaml(_folder().joinpath(f"{name}.yaml").read_text(encoding="utf-8"), what), what)


def _made(fields: dict[Any, Any], what: str) -> tuple[Recipe, str]:
    about = fields.get(ABOUT, "")
    try:
        recipe = from_json({key: value for key, value in fields.items() if key != ABOUT}, Recipe)
    except VentralError as error:
        raise VentralError(f"{what}: {error}") from None
    if not isinstance(recipe, Recipe) or not isinstance(about, str):
        raise VentralError(f"{what} is none: expected the fields of a recipe, and '{ABOUT}' as a line of text")
    return recipe, about
