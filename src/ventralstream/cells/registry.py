"""The registry of cells. A cell is one file: its options (a CellSpec), its module (a Cell), one registration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ventralstream.errors import unknown
from ventralstream.jsonable import make, spec_class, tagged, tags
from ventralstream.spec import CellSpec

S = TypeVar("S", bound=type[CellSpec])


def register_cell(name: str) -> Callable[[S], S]:
    """Registers a cell's options under its name."""
    return tagged(name)


def list_cells() -> list[str]:
    """The names of all registered cells."""
    return tags(CellSpec)


def create_cell(name: str, **options: object) -> CellSpec:
    """A cell's options by name; an unknown cell or option is an error that names the nearest one."""
    if name not in list_cells():
        raise unknown("cell", name, list_cells())
    spec: CellSpec = make(spec_class(name), options)
    return spec
