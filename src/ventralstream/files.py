"""Files and folders that are whole or not there: written beside, then renamed; claims; and paths that are no files."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ventralstream.errors import VentralError, printable, reason

PART, REPLACED = ".part", ".replaced"  # endings of what is being written, and of what steps aside for it
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
    part = path.with_name(path.name + PART)
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """As `replacing`, of a folder: gives an empty one, and waits until all that was put there is on the disk."""
    path = Path(path)
    part = path.with_name(path.name + PART)
    try:
        remove(part)
        part.mkdir(parents=True)
        yield part
        for written in (*part.rglob("*"), part):
            _to_disk(written)
        replace_folder(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _to_disk(path.parent)


def replace_folder(new: Path, path: Path) -> None:
    """Puts a folder in another one's place (or a file's, or where nothing is).

    No system replaces a folder that is not empty in one instant: the old one steps aside first, as NAME.replaced. A
    process that is killed in between leaves both, whole.
    """
    old = path.with_name(path.name + REPLACED)
    if os.path.lexists(path):
        remove(old)
        path.replace(old)
    new.replace(path)
    remove(old)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder with what is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def claimed(path: Path, busy: Callable[[str], str]) -> Iterator[None]:
    """Claims something for this process alone, by a lock on the file `path`, which is there as long as the block runs.

    However a process ends, its claim ends with it, even if the file stays; processes that it has started hold nothing.
    Where the system has no locks, nothing is claimed.

    Args:
        path: The file; it is made.
        busy: Says that another process has claimed it, given its number and machine, as in "process 4711 on node3".

    Raises:
        VentralError: what `busy` says.
    """
    handle = _locked(path, busy)
    try:
        yield
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)  # while it is still claimed: who waits for it sees that it is gone
            os.close(handle)


def _locked(path: Path, busy: Callable[[str], str]) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
                return handle
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                other = os.read(handle, 200).decode(errors="replace") or "another process"
                os.close(handle)
                raise VentralError(busy(printable(other))) from None
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                os.close(handle)
                raise
            return handle  # this file system has no locks
        os.close(handle)  # whoever had claimed it has just removed it


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


def _to_disk(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
