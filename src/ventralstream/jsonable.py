"""Frozen, typed, JSON-able values: the base of every spec.

A spec is a frozen dataclass registered under a tag. Its fields are checked against their annotations when it is made
(`ventralstream.values`), so that a wrong type, a number out of range or a misspelt choice is one sentence there and
not a traceback deep inside torch.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from ventralstream.errors import VentralError, unknown
from ventralstream.values import fit, shown

S = TypeVar("S", bound="type[Spec]")
_TAGS: dict[str, type[Spec]] = {}
_HINTS: dict[type[Spec], dict[str, Any]] = {}  # of each class's fields; resolving annotations is slow


def tagged(tag: str) -> Callable[[S], S]:
    """Registers a spec class under the tag that stands in its JSON as "type"."""

    def register(cls: S) -> S:
        if tag in _TAGS and _TAGS[tag].__qualname__ != cls.__qualname__:
            raise VentralError(f"the spec tag '{tag}' is taken by {_TAGS[tag].__name__}")
        cls.tag = tag
        _TAGS[tag] = cls
        return cls

    return register


# rooms whose import registers specs that may stand in a network's; importing them here would turn imports around
_REGISTERING = ("ventralstream.spec", "ventralstream.cells")


def spec_class(tag: str) -> type[Spec]:
    """The spec class registered under a tag."""
    if not isinstance(tag, str):
        raise VentralError(f"the type of a spec is {shown(tag)}; expected a name")
    for room in _REGISTERING if tag not in _TAGS else ():
        importlib.import_module(room)
    if tag not in _TAGS:
        raise unknown("spec type", shown(tag).strip("'"), _TAGS)
    return _TAGS[tag]


def tags(base: type[Spec]) -> list[str]:
    """The registered tags of all subclasses of `base`, sorted."""
    return sorted(tag for tag, cls in _TAGS.items() if issubclass(cls, base))


@dataclasses.dataclass(frozen=True)
class Spec:
    """Base of all specs; see the module's docstring."""

    tag: ClassVar[str] = ""

    def __post_init__(self) -> None:
        owner = f" of '{self.tag or type(self).__name__}'"
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            fitted = fit(value, hint, name, owner)
            if fitted is not value:
                object.__setattr__(self, name, fitted)  # the class is frozen; this is a part of its making
        self.check()

    def check(self) -> None:
        """Raises VentralError if the fields do not go together; subclasses override it."""

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; a misspelt field is an error that names the nearest one."""
        names = [f.name for f in dataclasses.fields(self)]
        for key in changes:
            if key not in names:
                raise unknown("option", key, names, f" of '{self.tag}'")
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The spec as plain dicts, lists, numbers and strings; every field is written out, defaults too."""
        return {"type": self.tag} | {f.name: _encode(getattr(self, f.name)) for f in dataclasses.fields(self)}


def parse_json(text: str, what: str) -> Any:
    """Reads JSON strictly: no key twice in one place, and no numbers that JSON does not have (NaN, Infinity).

    Args:
        text: The text.
        what: What it is, for the message ("the network spec").

    Raises:
        VentralError: it is not valid JSON, or is nested too deeply to be read.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {shown(twice)} is there twice in one place")
        return found

    def no_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a number that JSON has")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except ValueError as error:
        raise VentralError(f"{what} is not valid JSON: {error}") from None
    except (RecursionError, MemoryError):
        raise VentralError(f"{what} is not valid: its JSON is nested too deeply, or too large, to be read") from None


def from_json(data: Any, kind: type[Spec] | None = None) -> Any:
    """Rebuilds what `Spec.to_json` wrote; the inverse is exact.

    Args:
        data: Plain dicts, lists, numbers and strings.
        kind: What it is, where "type" is left out of it, as people do who write by hand; inside, "type" may be left out
            where a field takes one kind of spec only.

    Raises:
        VentralError: for an unknown type or field (naming the nearest valid one), or a value of the wrong type.
    """
    try:
        return _decode(data, kind)
    except (RecursionError, MemoryError):
        raise VentralError("the spec is nested too deeply, or too large, to be read") from None


def make(cls: type[Spec], options: Mapping[str, Any]) -> Any:
    """Builds a spec from named options, refusing unknown and missing ones by name."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in options:
        if key not in fields:
            raise unknown("option", shown(key).strip("'"), fields, f" of '{cls.tag}'")
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in options and not has_default:
            raise VentralError(f"'{cls.tag}' needs the option '{name}'")
    return cls(**options)


def hints(cls: type[Spec]) -> dict[str, Any]:
    """The annotations of a spec's fields, ranges included."""
    if cls not in _HINTS:
        found = typing.get_type_hints(cls, include_extras=True)
        _HINTS[cls] = {f.name: found[f.name] for f in dataclasses.fields(cls)}
    return _HINTS[cls]


def _decode(data: Any, hint: Any = None) -> Any:
    if isinstance(data, Mapping):
        kind = _only_kind(hint) if "type" not in data else spec_class(data["type"])
        if kind is None:
            raise VentralError(f"a spec needs the key 'type'; found only {shown(sorted(map(str, data)))}")
        expected = hints(kind)
        return make(kind, {k: _decode(v, expected.get(k)) for k, v in data.items() if k != "type"})
    if isinstance(data, list):
        return tuple(_decode(v) for v in data)
    return data


def _only_kind(hint: Any) -> type[Spec] | None:
    """The spec class that an annotation stands for, if it is one alone."""
    kinds = [k for k in (hint, *typing.get_args(hint)) if isinstance(k, type) and issubclass(k, Spec) and k.tag]
    return kinds[0] if len(kinds) == 1 else None


def _encode(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_json()
    if isinstance(value, tuple):
        return [_encode(v) for v in value]
    return value
