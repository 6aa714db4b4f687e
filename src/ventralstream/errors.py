"""The one error of the package, and the nearest valid name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VentralError(ValueError):
    """Bad input: the message says in one sentence what was wrong and what was expected."""


def unknown(what: str, name: object, valid: Iterable[object], where: str = "") -> VentralError:
    """Builds the error for a name that is not among `valid`, naming the nearest one that is.

    Args:
        what: The kind of thing named, e.g. "area".
        name: The name that was given.
        valid: The names that exist.
        where: Where the name stood, e.g. " of model 'rgc_shallow'" (with its leading space).

    Returns:
        The error, to be raised by the caller.
    """
    names = [str(v) for v in valid]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    if near:
        hint = f"did you mean '{near[0]}'?"
    elif names:
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        hint = f"expected one of: {shown}."
    else:
        hint = "there are none."
    return VentralError(f"unknown {what} '{name}'{where}; {hint}")
