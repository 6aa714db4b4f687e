"""Public names that are imported when they are first used, and that editors and type checkers see all the same."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from typing import Any

from ventralstream.extras import MissingExtra, explain


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package, from the imports under its `if TYPE_CHECKING:`.

    So each public name stands in one place. A package that uses it does so under `else:`, where type checkers do not
    look: they would take any misspelt name for one that `__getattr__` knows.

    Args:
        package: The package's `__name__`.
    """
    homes = _homes(package)

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        home, original = homes[name]
        try:
            module = importlib.import_module(home)
            if original is not None and not hasattr(module, original):
                importlib.import_module(f"{home}.{original}")
        except (ModuleNotFoundError, MissingExtra) as error:
            raise explain(error, home) from None
        value = module if original is None else getattr(module, original)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *homes}), sorted(homes)


def _homes(package: str) -> dict[str, tuple[str, str | None]]:
    """Of each name the module it comes from and its name there; None where it is a module itself."""
    loader = sys.modules[package].__spec__.loader  # type: ignore[union-attr]
    source: str = loader.get_source(package)  # type: ignore[union-attr]
    homes: dict[str, tuple[str, str | None]] = {}
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for line in block.body:
                assert isinstance(line, ast.ImportFrom) and line.module is not None
                for alias in line.names:
                    name = alias.asname or alias.name
                    whole = line.module == package  # `from ventralstream import brain as brain`: a module
                    homes[name] = (f"{package}.{alias.name}", None) if whole else (line.module, alias.name)
    return homes
