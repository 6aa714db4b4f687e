"""The command line `ventral`. One file a command; each imports what is heavy only when it runs."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NoReturn

from ventralstream.errors import (
    FreshReadout,
    VentralError,
    about_file,
    about_memory,
    exit_code,
    printable,
    reason,
    shortened,
)
from ventralstream.extras import explain
from ventralstream.interrupt import heed

if TYPE_CHECKING:
    import typer

    app: typer.Typer

FAILED = 1
TRACEBACK = "VENTRALSTREAM_TRACEBACK"


def main() -> NoReturn:
    """Runs the command line, and ends with an exit code.

    0 when all is done; 2 for bad input, a file that cannot be read or written, or too little memory; 1 if what is
    printed cannot be written, or for a fault of our own; 130 after Ctrl-C, 143 after SIGTERM. Whatever goes wrong is
    one sentence on stderr; a traceback of it is there only if the variable VENTRALSTREAM_TRACEBACK is set.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - it stays open
    try:
        heed()
        code = _run()
    except KeyboardInterrupt as error:
        code = _said(str(error) or "interrupted", exit_code(error))
    except Exception as error:
        if os.environ.get(TRACEBACK) and not isinstance(error, VentralError):
            raise
        code = _explained(error)
    sys.exit(_flushed(code))


def _run() -> int:
    if sys.stdout is None:
        raise VentralError("stdout is closed; expected somewhere to write to, such as /dev/null")
    try:
        Path.cwd()
    except FileNotFoundError:
        raise VentralError("the current folder is gone; expected to be in one") from None
    if os.environ.get("COLUMNS", "").strip("0 ") == "":
        os.environ.pop("COLUMNS", None)  # a screen of no width, as some editors say it: nothing would be shown
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names that this terminal's encoding cannot show

    from ventralstream.cli import commands

    warnings.showwarning = _warned
    return commands.run()


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Our own warning as a sentence; those of others as Python shows them."""
    if issubclass(category, FreshReadout):
        print(printable(message), file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr, end="")


def _explained(error: Exception) -> int:
    """Says what went wrong, whatever it is; gives the exit code."""
    if isinstance(error, ImportError):
        error = explain(error, _module(error))
    code = exit_code(error)
    if isinstance(error, BrokenPipeError):  # as when `| head` has seen enough
        return code
    if isinstance(error, VentralError):
        return _said(f"error: {error}", code)
    if isinstance(error, OSError):
        return _said(f"error: {about_file(error)}", code)
    if isinstance(error, RecursionError):
        return _said("error: the input is nested too deeply to be read", code)
    if about_memory(error):
        return _said("error: there is too little memory; try smaller batches, fewer areas or steps", code)
    fault = f"{type(error).__name__}: {reason(error)}"
    return _said(f"error: {fault} (a fault of ventralstream's; {TRACEBACK}=1 shows where)", code)


def _module(error: Exception) -> str:
    """Our innermost module on the way to an error."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    return next((name for name in reversed(names) if name.startswith("ventralstream.")), "")


def _said(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody listens
        print(printable(shortened(sentence, 4000)), file=sys.stderr, flush=True)
    return code


def _flushed(code: int) -> int:
    """The exit code; what was printed is out, and Python finds nothing left to complain about."""
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
        return code
    except (OSError, ValueError) as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError) or code:
            return code or FAILED
        return _said(f"error: cannot write to stdout: {reason(error)}", FAILED)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    from ventralstream.cli import commands

    return commands.app
