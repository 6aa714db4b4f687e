"""Arguments of calls, checked: a wrong one is one sentence that names what was expected."""

from __future__ import annotations

import operator
from typing import Any

from ventralstream.errors import VentralError, shortened


def whole(what: str, value: Any, least: int | None = None) -> int:
    """A whole number of any kind (NumPy's too) as an int.

    Args:
        what: What it is, for the sentence.
        value: What was given.
        least: The smallest that is allowed.

    Raises:
        VentralError: if it is none, or smaller.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise misfit(what, value, "a whole number" + ("" if least is None else f" of at least {least}"))
    return number


def misfit(what: str, value: object, expected: str) -> VentralError:
    """The error for an argument of the wrong kind.

    Args:
        what: What it is, e.g. "presentation".
        value: What was given.
        expected: What should have been, e.g. "a Presentation, such as vs.Flash(on=10)".
    """
    return VentralError(f"{what} is {described(value)}; expected {expected}")


def described(value: object) -> str:
    """A value in a few words: what it is, if it is large."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    kind = type(value).__name__
    article = "an" if kind[0] in "AEIOUaeiou" else "a"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{article} {kind} of shape {list(shape)}"
    if value is None or isinstance(value, (str, int, float, list, tuple, dict)):
        text = repr(value)
        return text if len(text) <= 60 else f"the {kind} {shortened(text)}"
    return f"{article} {kind}"
