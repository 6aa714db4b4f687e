"""Values that fit what was declared: the types and ranges of options, checked in one place.

A range stands in the annotation, of a spec's field or a function's argument: `kernel: Side`, or
`lr: Annotated[float, Within(above=0, at_most=10)]`. Numbers are finite, and whole numbers fit 64 bits, where nothing
else is said. What fits is turned into Python's own types, so that it is written as JSON and read again exactly:
NumPy's numbers become `int` and `float`, lists become tuples.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from ventralstream.errors import VentralError, unknown

P = ParamSpec("P")
R = TypeVar("R")
INT64_MAX = 2**63 - 1
_LONGEST = 80  # characters of a value that a message shows


@dataclass(frozen=True)
class Within:
    """Where a number must lie: all bounds that are given hold."""

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def __str__(self) -> str:
        if math.isfinite(self.at_least) and math.isfinite(self.at_most) and self.at_most != INT64_MAX:
            return f" from {_short(self.at_least)} to {_short(self.at_most)}"
        words = (
            ("of at least", self.at_least),
            ("above", self.above),
            ("below", self.below),
            ("of at most", self.at_most),
        )
        told = [
            f"{word} {_short(bound)}"
            for word, bound in words
            if math.isfinite(bound) and bound not in (-INT64_MAX - 1, INT64_MAX)
        ]
        return f" {' and '.join(told)}" if told else ""


INT64, LARGE = Within(-(2**63), INT64_MAX), 1e6

Count = Annotated[int, Within(1, 2**31 - 1)]
"""A whole number of things, at least one."""

Natural = Annotated[int, Within(0, 2**31 - 1)]
"""A whole number of things, also none; a step."""

Channels = Annotated[int, Within(1, 2**20)]
"""Channels, features or classes."""

Width = Annotated[int, Within(0, 2**20)]
"""Channels where 0 stands for a default that is said there."""

Side = Annotated[int, Within(1, 1024)]
"""The side of a kernel or a stride, in pixels."""

Pixels = Annotated[int, Within(1, 2**14)]
"""The side of an image."""

Real = Annotated[float, Within(-LARGE, LARGE)]
"""A number of any sign; the bounds only keep out what would overflow."""

Positive = Annotated[float, Within(above=0, at_most=LARGE)]
"""A number above zero."""

Amount = Annotated[float, Within(0, LARGE)]
"""A number of at least zero."""

Probability = Annotated[float, Within(0, 1)]
"""A probability, 0 and 1 included."""

Fraction = Annotated[float, Within(at_least=0, below=1)]
"""A part of a whole that is never all of it."""

Spread = Annotated[float, Within(1e-6, LARGE)]
"""A standard deviation to divide by."""

Seed = Annotated[int, Within(0, 2**64 - 1)]
"""A seed of random numbers, as torch takes it."""


def fit(value: Any, hint: Any, name: str, where: str = "") -> Any:
    """A value as its annotation wants it.

    Args:
        value: What was given.
        hint: The annotation: a class, a union, `Literal`, a tuple, or `Annotated` with a `Within`.
        name: What the value is called.
        where: Whose it is, e.g. " of 'conv'" (with its leading space).

    Returns:
        The value in Python's own types.

    Raises:
        VentralError: it is of another type or outside the range; the sentence names value and range.
    """
    try:
        return _fitted(value, hint)
    except _Misfit:
        choices = [a for h in (hint, *typing.get_args(hint)) for a in _choices(h)]
        if choices and isinstance(value, str):
            raise unknown(name + where, shown(value).strip("'"), choices) from None
        what = f"the option '{name}'{where}" if where else name
        raise VentralError(f"{what} is {shown(value)}; expected {_words(hint)}") from None


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function so that its arguments must fit their annotations; see `fit`."""
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not hints:
            hints.update(_function_hints(function))
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in hints and signature.parameters[name].kind not in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            ):
                bound.arguments[name] = fit(value, hints[name], name, f" of '{function.__name__}'")
        return function(*bound.args, **bound.kwargs)

    return call


def shown(value: object) -> str:
    """A value in one short line of a message, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a foreign object's own failure is not what the message is about
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


class _Misfit(Exception):
    pass


def _fitted(value: Any, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        return _number(value, args[0], next((a for a in args[1:] if isinstance(a, Within)), None))
    if hint in (int, float):
        return _number(value, hint, None)
    if origin in (typing.Union, types.UnionType):
        for arg in args:
            try:
                return _fitted(value, arg)
            except _Misfit:
                pass
        raise _Misfit
    if origin is Literal:
        own = _plain(value)
        for arg in args:
            if type(own) is type(arg) and own == arg:
                return arg
        raise _Misfit
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise _Misfit
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_fitted(v, args[0]) for v in value)
        if len(value) != len(args):
            raise _Misfit
        return tuple(_fitted(v, a) for v, a in zip(value, args, strict=True))
    kind = type(None) if hint is None else origin or hint
    if isinstance(kind, type) and not isinstance(value, kind):
        raise _Misfit
    return value


def _number(value: Any, kind: Any, within: Within | None) -> Any:
    if kind not in (int, float):
        return _fitted(value, kind)
    own = _plain(value)
    if isinstance(own, bool) or not isinstance(own, int if kind is int else (int, float)):
        raise _Misfit
    try:
        own = kind(own)
    except OverflowError:
        raise _Misfit from None
    if not math.isfinite(own) if kind is float else own not in INT64 and within is None:
        raise _Misfit
    if within is not None and own not in within:
        raise _Misfit
    return own


def _plain(value: Any) -> Any:
    """A number of NumPy's, say, as Python's own."""
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _words(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _words(args[0]) + "".join(str(a) for a in args[1:] if isinstance(a, Within))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(a) for a in args)
    if origin is Literal:
        return " or ".join(repr(a) for a in args)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return f"a tuple, each {_words(args[0])}"
    if origin is tuple:
        return f"({', '.join(_words(a) for a in args)})"
    plain: dict[Any, str] = {
        int: "a whole number",
        float: "a finite number",
        bool: "True or False",
        str: "text",
        type(None): "None",
    }
    return plain.get(hint, f"a {getattr(hint, '__name__', hint)}")


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _short(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _function_hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:  # annotations for the type checker alone; the function's own checks have to do
        return {}
