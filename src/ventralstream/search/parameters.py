"""What a search may choose: one of several values, a whole number, a number. Data only; `sampling` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Real, Within, fit, shown

Value = bool | int | float | str
Integer = Annotated[int, Within(-(10**9), 10**9)]
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Parameter(Spec):
    """Base of what can be chosen in a search."""

    def fitted(self, value: object, name: str) -> Value:
        """The value in its own type; VentralError if it is none that may be chosen."""
        raise NotImplementedError

    def nearest(self, value: Value) -> Value:
        """What comes nearest to a value among those that may be chosen: where it does not matter what is chosen."""
        raise NotImplementedError

    def grid(self) -> tuple[Value, ...] | None:
        """All its values; None if there are too many to try each."""
        return None


@tagged("one_of")
@dataclass(frozen=True)
class OneOf(Parameter):
    """One of several values, in no order.

    Attributes:
        choices: The values: true or false, numbers or texts, each once.
    """

    choices: tuple[bool | Integer | Real | str, ...] = (False, True)

    def check(self) -> None:
        if not self.choices:
            raise VentralError("'one_of' has no choices; expected at least one")
        for choice in self.choices:
            if sum(_same(choice, other) for other in self.choices) > 1:
                raise VentralError(f"'one_of' has the choice {shown(choice)} twice")

    def fitted(self, value: object, name: str) -> Value:
        for choice in self.choices:
            if _same(choice, value):
                return choice
        raise unknown(f"value of '{name}'", value, self.choices)

    def nearest(self, value: Value) -> Value:
        return next((choice for choice in self.choices if _same(choice, value)), self.choices[0])

    def grid(self) -> tuple[Value, ...]:
        return self.choices


class _Ranged(Parameter):
    """What `Whole` and `Number` share: any number from `low` to `high`, of their kind."""

    low: Any
    high: Any
    log: bool

    def check(self) -> None:
        if self.low > self.high:
            ends = f"from {self.low} to {self.high}"
            raise VentralError(f"'{self.tag}' goes {ends}; expected a range that begins at its smaller end")
        if self.log and not self.low > 0:
            raise VentralError(
                f"'{self.tag}' begins at {self.low}, where ratios are evenly likely; expected a beginning above 0"
            )

    def fitted(self, value: object, name: str) -> Value:
        kind = type(self.low)
        number: Value = kind(fit(value, Annotated[kind, Within(self.low, self.high)], name))
        return number

    def nearest(self, value: Value) -> Value:
        kind = type(self.low)
        number: Value = min(max(kind(value), self.low), self.high) if isinstance(value, (int, float)) else self.low
        return number


@tagged("whole")
@dataclass(frozen=True)
class Whole(_Ranged):
    """A whole number.

    Attributes:
        low, high: The smallest and the largest one.
        log: Whether ratios, not differences, are evenly likely.
    """

    low: Integer = 1
    high: Integer = 7
    log: bool = False

    def grid(self) -> tuple[Value, ...] | None:
        return tuple(range(self.low, self.high + 1)) if self.high - self.low < 1000 else None


@tagged("number")
@dataclass(frozen=True)
class Number(_Ranged):
    """A number.

    Attributes:
        low, high: The smallest and the largest one.
        log: Whether ratios, not differences, are evenly likely.
    """

    low: Real = 0.0
    high: Real = 1.0
    log: bool = False


def fitted(values: Mapping[str, object], parameters: Mapping[str, Parameter], where: str) -> dict[str, Value]:
    """One value for each parameter, as it may be chosen; VentralError names what is missing or does not fit."""
    for name in values:
        if name not in parameters:
            raise unknown("parameter", name, parameters, where)
    for name in parameters:
        if name not in values:
            raise VentralError(f"the parameter '{name}'{where} has no value")
    return {name: parameter.fitted(values[name], name) for name, parameter in parameters.items()}


def _same(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
