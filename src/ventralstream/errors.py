"""The one error of the package, its one warning, and the nearest valid name for a misspelt one."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Self


class VentralError(ValueError):
    """Bad input: the message says in one sentence what was wrong and what was expected."""


class FreshReadout(UserWarning):
    """Saved weights were given another number of classes: the last layer is fresh, and has to be trained."""


class Interrupted(KeyboardInterrupt):
    """Work that was stopped by a signal, with a sentence about where it stands and how to carry on.

    Attributes:
        code: The exit code for it: 128 and the signal's number, so 130 after Ctrl-C (SIGINT) and 143 after SIGTERM.
    """

    def __init__(self, message: str = "", code: int = 130) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def by(cls, signum: int, message: str = "") -> Self:
        """The interruption by a signal."""
        return cls(message, 128 + signum)


def exit_code(error: BaseException) -> int:
    """The exit code that the command line ends with after an error.

    128 and its number after a signal; 2 for bad input, a file that cannot be read or written, or too little memory;
    1 for a fault of our own, or if nobody listens.
    """
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return error.code if isinstance(error, Interrupted) else Interrupted().code
    expected = isinstance(error, (VentralError, OSError, RecursionError)) or about_memory(error)
    return 2 if expected and not isinstance(error, BrokenPipeError) else 1


def about_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(said in str(error) for said in ("out of memory", "not enough memory", "can't allocate memory"))
    )


def printable(text: object) -> str:
    """Text that may come from a file, safe to show: what no screen shows as itself is escaped.

    Line breaks, control characters (so also ANSI escapes), bidirectional marks and bytes that were no UTF-8 become
    backslash escapes, e.g. `\\n`, `\\x1b`, `\\udcff`; all else stays. Markup is not touched: print with `markup=False`.
    """
    return "".join(c if _shows(c) else c.encode("unicode_escape").decode("ascii") for c in str(text))


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # other spaces than the usual one


def reason(error: BaseException) -> str:
    """What an exception of another library says, in a few words of one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if error.strerror[1:].islower() else error.strerror
    lines = str(error).strip().splitlines()
    return shortened(lines[0], 200) if lines else type(error).__name__


def about_file(error: OSError) -> str:
    """What the system says of a file, as a sentence."""
    if not error.strerror:  # of a library that speaks in sentences itself
        return reason(error)
    where = f" '{shortened(error.filename)}'" if error.filename else ""
    return f"cannot read or write{where}: {reason(error)}"


def shortened(name: object, most: int = 80) -> str:
    """A name, cut in the middle if it has more characters than that: too long for a sentence."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"


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
    name = shortened(name)  # also because the search for the nearest takes time for a long one
    plain = {n.lower(): n for n in reversed(names)}  # another case is the least of differences
    near = difflib.get_close_matches(name.lower(), plain, n=1, cutoff=0.4)
    if near:
        hint = f"did you mean '{plain[near[0]]}'?"
    elif names:
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        hint = f"expected one of: {shown}."
    else:
        hint = "there are none."
    return VentralError(f"unknown {what} '{name}'{where}; {hint}")
