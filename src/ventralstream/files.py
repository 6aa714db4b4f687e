"""Files that are whole or not there: written beside, then renamed; and paths that are no files."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ventralstream.errors import reason

_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a named pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; what was written there replaces `path` when the block ends well.

    If it ends badly, what was there stays, and the half-written file is removed.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Writes text as UTF-8, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def why_no_file(path: str | Path) -> str:
    """Why there is no file to be read at a path, in words such as "it is a folder"; "" if there is one.

    Nothing is opened: opening a named pipe would wait for ever.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "it is a link to nothing" if path.is_symlink() else "there is no such file"
    except (OSError, ValueError) as error:  # a loop of links, a name that no file can have
        return reason(error)
    return next((kind for is_, kind in _KINDS if is_(mode)), "")


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder at a path; unlike `Path.is_dir`, also of names that no file can have."""
    return why_no_file(path) == "it is a folder"
