"""Arguments of calls: whole numbers, and the sentence for one of the wrong kind."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sized
from typing import Annotated, Any

from ventralstream import budget
from ventralstream.errors import VentralError, printable, shortened
from ventralstream.values import Within, fit

_PLAIN = (str, bytes, int, float, list, tuple, dict, set)


def whole(what: str, value: Any, least: int = -(2**63)) -> int:
    """A whole number of any kind (NumPy's too) as an int.

    Args:
        what: What it is, for the sentence.
        value: What was given.
        least: The smallest that is allowed.

    Raises:
        VentralError: if it is none, or smaller.
    """
    return int(fit(value, Annotated[int, Within(least, 2**63 - 1)], what))


def draws(what: str, value: Any, least: int = 1) -> int:
    """How many random splits, halvings or resamples to make.

    Args:
        what: What they are, for the sentence.
        value: What was given.
        least: The smallest number that is allowed.

    Raises:
        VentralError: if it is no whole number, smaller, or more than `ventralstream.budget.DRAWS`.
    """
    count = whole(what, value, least)
    if count > budget.DRAWS:
        raise VentralError(f"{what} is {count}; expected at most {budget.DRAWS} (ventralstream.budget.DRAWS)")
    return count


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
    shape, text = getattr(value, "shape", None), repr(value)
    if shape == () or value is None or (isinstance(value, _PLAIN) and len(text) <= 60):
        return printable(shortened(text))
    kind = {"ndarray": "array"}.get(type(value).__name__, type(value).__name__)
    kind = f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
    if shape is not None:
        return f"{kind} of shape {list(shape)}"
    return f"{kind} of length {len(value)}" if isinstance(value, _PLAIN) and isinstance(value, Sized) else kind


def nearest(value: object, examples: Mapping[str, str], default: str) -> str:
    """Of examples by name, the one that a value looks like, if it is a name; else the default's."""
    near = difflib.get_close_matches(str(value).lower(), examples, n=1) if isinstance(value, str) else []
    return examples[near[0] if near else default]
