"""Frozen, typed, JSON-able values: the base of every spec.

A spec is a frozen dataclass registered under a tag. Its fields are checked against their annotations when it is made,
so that a wrong type or a misspelt choice is one sentence there and not a traceback deep inside torch.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar

from ventralstream.errors import VentralError, unknown

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


def spec_class(tag: str) -> type[Spec]:
    """The spec class registered under a tag."""
    if tag not in _TAGS:
        raise unknown("spec type", tag, _TAGS)
    return _TAGS[tag]


def tags(base: type[Spec]) -> list[str]:
    """The registered tags of all subclasses of `base`, sorted."""
    return sorted(tag for tag, cls in _TAGS.items() if issubclass(cls, base))


@dataclasses.dataclass(frozen=True)
class Spec:
    """Base of all specs; see the module's docstring."""

    tag: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            value = getattr(self, name)
            if not _fits(value, hint):
                raise VentralError(_misfit(self.tag or type(self).__name__, name, value, hint))
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


def from_json(data: Any) -> Any:
    """Rebuilds what `Spec.to_json` wrote; the inverse is exact.

    Raises:
        VentralError: for an unknown type or field (naming the nearest valid one), or a value of the wrong type.
    """
    if isinstance(data, Mapping):
        if "type" not in data:
            raise VentralError(f"a spec needs the key 'type'; found only {sorted(data)}")
        return make(spec_class(data["type"]), {k: from_json(v) for k, v in data.items() if k != "type"})
    if isinstance(data, list):
        return tuple(from_json(v) for v in data)
    return data


def make(cls: type[Spec], options: Mapping[str, Any]) -> Any:
    """Builds a spec from named options, refusing unknown and missing ones by name."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in options:
        if key not in fields:
            raise unknown("option", key, fields, f" of '{cls.tag}'")
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in options and not has_default:
            raise VentralError(f"'{cls.tag}' needs the option '{name}'")
    return cls(**options)


def _encode(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_json()
    if isinstance(value, tuple):
        return [_encode(v) for v in value]
    return value


def _hints(cls: type[Spec]) -> dict[str, Any]:
    if cls not in _HINTS:
        hints = typing.get_type_hints(cls)
        _HINTS[cls] = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
    return _HINTS[cls]


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(_fits(v, args[0]) for v in value)
        return len(value) == len(args) and all(_fits(v, a) for v, a in zip(value, args, strict=True))
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _misfit(owner: str, name: str, value: Any, hint: Any) -> str:
    choices = [a for h in (hint, *typing.get_args(hint)) for a in _choices(h)]
    if choices and isinstance(value, str):
        return str(unknown(f"{name} of '{owner}'", value, choices))
    wanted = " or ".join(repr(c) for c in choices) if choices else str(getattr(hint, "__name__", hint))
    return f"the option '{name}' of '{owner}' is {value!r}; expected {wanted}"


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
