"""Spaces by name, from a file of data, or from a user's Python file. Their ranges are our choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ventralstream.errors import VentralError, printable, reason, unknown
from ventralstream.files import why_no_file
from ventralstream.jsonable import from_json, parse_json
from ventralstream.models.convrnn import (
    CELL_AREAS,
    INTERMEDIATE_CELL_AREAS,
    intermediate_reciprocal,
    median_reciprocal,
    simple_reciprocal,
)
from ventralstream.models.convrnn_cifar import shallow_small
from ventralstream.search.cell_space import CellSpace, KnownCell, Searched
from ventralstream.search.function_space import FunctionSpace
from ventralstream.search.parameters import Number, OneOf, Parameter, Whole
from ventralstream.search.space import Space

SMALL_CHANNELS = (32, 32, 32, 64, 64)
_KERNEL, _YES_OR_NO = Whole(1, 7), OneOf((False, True))
_GATE, _ACTIVATION = OneOf(("sigmoid", "tanh")), OneOf(("identity", "relu", "elu"))
_OFFSET = Number(0.5, 1.5)
CELL = {
    "tau_kernel": _KERNEL,
    "tau_separable": _YES_OR_NO,
    "tau_activation": _GATE,
    "tau_offset": _OFFSET,
    "gate_kernel": _KERNEL,
    "gate_separable": _YES_OR_NO,
    "gate_activation": _GATE,
    "gate_offset": _OFFSET,
    "gate_bias": _YES_OR_NO,
    "input_to_cell": _YES_OR_NO,
    "input_to_out": _YES_OR_NO,
    "input_kernel": _KERNEL,
    "to_out_kernel": _KERNEL,
    "input_separable": _YES_OR_NO,
    "input_bias": _YES_OR_NO,
    "cell_to_out": _YES_OR_NO,
    "cell_residual": _YES_OR_NO,
    "out_residual": _YES_OR_NO,
    "residual_to_out_gate": _YES_OR_NO,
    "input_activation": _ACTIVATION,
    "cell_activation": _ACTIVATION,
    "out_activation": _ACTIVATION,
    "layer_norm": _YES_OR_NO,
    "feedback_to": OneOf(("input", "cell", "out")),
    "feedback_kernel": _KERNEL,
    "feedback_separable": _YES_OR_NO,
    "feedback_activation": OneOf(("identity", "elu")),
}


def _cell(depths: tuple[int, ...]) -> tuple[Searched, ...]:
    """What is chosen of the cell; its depth among these channels, 0 being the output's."""
    chosen = CELL | {"cell_channels": OneOf(depths)}
    return tuple(Searched(name, among) for name, among in chosen.items())


def _known(depth: int, feedback: tuple[str, ...] = ()) -> tuple[KnownCell, ...]:
    """The two published cells; the median one with so many channels in its cell, and with these connections."""
    median = median_reciprocal().replace(cell_channels=depth)
    return KnownCell("rgc", simple_reciprocal()), KnownCell("median", median, feedback)


def cifar_small() -> CellSpace:
    """32-px images, three areas with cells, some 20 MFLOP an image: a trial of half a minute on one processor."""
    return CellSpace(
        "cifar-small",
        shallow_small({}, 10, SMALL_CHANNELS, steps=7),
        CELL_AREAS,
        _cell((0, 16, 32)),
        choose_areas=True,
        norms=("none", "shared", "time_specific"),
        steps=Whole(6, 9),
        readouts=("last", "mean"),
        training=(Searched("optimizer.lr", Number(0.02, 0.2, log=True)),),
        cells=_known(16),
    )


def cifar() -> CellSpace:
    """32-px images, the graph and widths of rgc_shallow_cifar."""
    return cifar_small().replace(
        name="cifar",
        network=shallow_small({}, 10),
        cell=_cell((0, 32, 64)),
        steps=Whole(6, 12),
        cells=_known(32),
    )


def imagenet128() -> CellSpace:
    """ImageNet at 128 px, the network of eleven areas of Nayebi et al. 2018, with cells and feedback in seven."""
    base = intermediate_reciprocal(median_reciprocal(), feedback=())
    bare = tuple(a.replace(cell=None) if a.name in INTERMEDIATE_CELL_AREAS else a for a in base.areas)
    published = ("conv8_conv5", "conv7_conv6", "conv9_conv6", "conv10_conv7", "conv10_conv9")
    return CellSpace(
        "imagenet128",
        base.replace(areas=bare, input_shape=(3, 128, 128)),
        INTERMEDIATE_CELL_AREAS,
        _cell((0, 32, 64, 128)),
        cells=_known(64, published),
    )


SPACES: dict[str, Callable[[], CellSpace]] = {
    "cifar-small": cifar_small,
    "cifar": cifar,
    "imagenet128": imagenet128,
}


def list_spaces() -> dict[str, str]:
    """The spaces in the package: what each is, by name."""
    return {name: (make.__doc__ or "").splitlines()[0] for name, make in SPACES.items()}


def load_space(source: str | Path) -> Space:
    """A space by its name in the package, or from a file.

    Args:
        source: A name of `list_spaces`; a JSON file of a `CellSpace`; or FILE.py, which makes one space, or
            FILE.py:NAME.

    Raises:
        VentralError: an unknown name (the nearest one is named), or a file that is missing or makes no space.
    """
    text = str(source)
    if text in SPACES:
        return SPACES[text]()
    path, name = _split(text)
    if path.suffix not in (".py", ".json"):
        raise unknown("space", text, SPACES, " (or give a .py or .json file)")
    if why := why_no_file(path):
        raise VentralError(f"there is no space in '{printable(path)}': {why}")
    if path.suffix == ".py":
        return _from_module(path, name)
    try:
        found = from_json(parse_json(path.read_text(encoding="utf-8"), f"'{printable(path)}'"), CellSpace)
    except (OSError, UnicodeDecodeError) as error:
        raise VentralError(f"'{printable(path)}' cannot be read: {reason(error)}") from None
    if not isinstance(found, CellSpace):
        raise VentralError(f"'{printable(path)}' holds a '{found.tag}'; expected a 'cell_space'")
    return found


def space_from_json(data: Any, source: str, file: str | Path | None = None) -> Space:
    """The space that a study was made with.

    Args:
        data: What `Space.to_json` gave.
        source: The text of the user's file as it was.
        file: Where that file is now; where it was if None.

    Raises:
        VentralError: if the user's file is gone or was changed.
    """
    if data["type"] != "function_space":
        found: Space = from_json(data)
        return found
    path = Path(file or data["file"])
    if why := why_no_file(path):
        raise VentralError(
            f"the study's space '{data['name']}' was made in '{printable(path)}': {why}; say where it is with --space"
        )
    if path.read_text(encoding="utf-8") != source:
        raise VentralError(
            f"'{printable(path)}' was changed since the study was made of its space '{data['name']}'; put it back, or"
            " begin a new study"
        )
    found = _from_module(path, data["name"])
    if parameters_from_json(found.to_json()) != parameters_from_json(data):
        raise VentralError(
            f"'{printable(path)}' makes another space by the name '{data['name']}' than the study's; make the study"
            " with FILE.py:NAME"
        )
    return found


def parameters_from_json(data: Any) -> Mapping[str, Parameter]:
    """What is chosen in a space, by name, without the function that it may be.

    Args:
        data: What `Space.to_json` gave.
    """
    if data["type"] == "function_space":
        return {name: from_json(parameter) for name, parameter in data["parameters"].items()}
    found: CellSpace = from_json(data)
    return found.parameters


def check_found_again(space: Space) -> None:
    """Raises VentralError if workers could not find a space again: its function stands in no file."""
    if isinstance(space, FunctionSpace) and not space.source:
        raise VentralError(
            f"the function of the space '{space.name}' stands in no file (but in a notebook, say), so that workers"
            " cannot find it; put it into a .py file, and give that to load_space"
        )


def _split(text: str) -> tuple[Path, str | None]:
    head, colon, name = text.rpartition(":")
    return (Path(head), name) if colon and head.endswith(".py") else (Path(text), None)


def _from_module(path: Path, name: str | None) -> Space:
    where = printable(path)
    module = ModuleType(f"ventralstream_space_{path.stem}")
    module.__file__ = str(path.absolute())
    try:  # not imported: bytecode of a second ago may be of what the file was, and would be left beside it
        exec(compile(path.read_bytes(), module.__file__, "exec"), module.__dict__)
    except VentralError:
        raise
    except Exception as error:  # the user's own
        raise VentralError(f"'{where}' cannot be run: {type(error).__name__}: {reason(error)}") from None
    found = {key: value for key, value in vars(module).items() if isinstance(value, (FunctionSpace, CellSpace))}
    if name is not None and name not in found:
        raise unknown("space", name, found, f" in '{where}'")
    if name is None and len(found) != 1:
        names = ", ".join(found)
        hint = f"it makes {names}; say which, as in {where}:{next(iter(found))}" if found else "it makes none"
        raise VentralError(f"'{where}' should make one space: {hint}")
    name = name or next(iter(found))
    space = found[name]
    if isinstance(space, FunctionSpace):  # where it is found again; its function may come from another file
        return replace(space, name=name, file=str(path.absolute()), source=path.read_text(encoding="utf-8"))
    return space
