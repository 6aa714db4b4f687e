"""Published weights from their authors' own place, once, into one folder of downloads.

CACHE/published/MODEL/ has the authors' files as they are, and `SHA256SUMS` with what was got, as `sha256sum -c` reads
it. A file is there as a whole or not at all, and is checked whenever it is used: against the digits that the authors
publish, else against what was got first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

from ventralstream.errors import VentralError, printable, reason
from ventralstream.extras import require
from ventralstream.files import why_no_file
from ventralstream.progress import Progress, stderr_console
from ventralstream.published.about import Published, PublishedFile
from ventralstream.published.load import sha256_of

VARIABLE = "VENTRALSTREAM_CACHE"
SUMS = "SHA256SUMS"
TIMEOUT_S = 60.0  # without an answer, or without a further byte; our choice
_CHUNK = 1 << 20  # bytes
_ABSENT = ("there is no such file", "it is a link to nothing")


def cache_folder() -> Path:
    """The folder of downloads: the one that VENTRALSTREAM_CACHE names, else the system's for caches."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    require("hub", "pooch")
    import pooch

    return Path(pooch.os_cache("ventralstream"))


@contextmanager
def downloaded(model: str, published: Published) -> Iterator[Path]:
    """The first of the authors' files of a model, on this disk; downloads what is not there yet, and checks all.

    What is done is said on stderr, the licence of the weights first. A file without a published hash is recorded when
    the block has read it; if it cannot be read, what has just been downloaded is not kept.

    Args:
        model: The registered model.
        published: What is published of it.

    Raises:
        VentralError: if the authors publish no files; or one cannot be had, or is not what it was or should be: the
            sentence names its address, and what to do by hand.
    """
    if not published.files:
        raise VentralError(
            f"of '{model}' no weights can be downloaded: its authors publish no file of them at {published.page}"
        )
    folder, say = cache_folder() / "published" / model, stderr_console().print
    paths = [folder / file.name for file in published.files]
    there = {path for path in paths if why_no_file(path) not in _ABSENT}
    if len(there) < len(paths):
        say(f"the weights of '{model}' are published by {published.source}; their licence: {published.weights_licence}")
    record = _read_record(folder / SUMS)
    unknown: dict[str, str] = {}
    fresh: list[Path] = []
    for file, path in zip(published.files, paths, strict=True):
        expected = file.sha256 or record.get(file.name, "")
        got = _sha256_if_there(path)
        other = got and not got.startswith(expected)
        if other:
            say(f"'{path}' is damaged or another: its SHA-256 is {got}, expected {expected}; it is downloaded again")
        if other or not got:
            with _aside(path):
                got = _download(file, path, expected, recorded=not file.sha256)
        if record.get(file.name) != got:
            if file.sha256:
                with suppress(VentralError):  # a folder that may only be read; its files are known without a record
                    _write_record(folder / SUMS, {file.name: got})
            else:
                unknown[file.name] = got
                fresh += [path] if other or path not in there else []
    try:
        yield paths[0]
    except VentralError as error:
        if not unknown:
            raise
        for path in fresh:
            path.unlink(missing_ok=True)
        kept = [name for name in unknown if (folder / name).exists()]
        what = f"; delete {kept[0]} there to have it downloaded again" if kept else "; it is not kept"
        raise VentralError(f"what was got of '{published.files[0].url}' cannot be used: {error}{what}") from None
    for name, got in unknown.items():
        _write_record(folder / SUMS, {name: got})
        place = folder / name
        say(f"'{place}' has the SHA-256 {got}; its authors publish none: from now on it is checked against this")


@contextmanager
def _aside(path: Path) -> Iterator[None]:
    """Moves a file out of the way, and back if another does not come."""
    if not path.exists():
        yield
        return
    aside = path.with_name(f"{path.name}.other")
    try:
        path.replace(aside)
    except OSError as error:
        raise VentralError(f"'{printable(path)}' cannot be replaced: {reason(error)}") from None
    try:
        yield
    except BaseException:
        aside.replace(path)
        raise
    aside.unlink(missing_ok=True)


def _download(file: PublishedFile, path: Path, expected: str, recorded: bool) -> str:
    """Downloads a file to its place; gives its SHA-256."""
    require("hub", "pooch")
    import pooch
    from requests.exceptions import HTTPError, RequestException

    pooch.get_logger().setLevel("WARNING")
    got = ""

    def get(url: str, output: str, _: Any) -> None:
        nonlocal got
        with _Bar(f"downloading {file.name}") as bar:
            take: Callable[..., None] = pooch.HTTPDownloader(
                progressbar=bar, chunk_size=_CHUNK, timeout=TIMEOUT_S, hooks={"response": _stay_encrypted}
            )
            take(url, output, None)
        got = sha256_of(Path(output))
        if not got.startswith(expected):  # before it is moved to its place
            raise _Other
        Path(output).chmod(0o644)  # made for its owner alone, but a folder of downloads may be shared

    by_hand = f"download it by other means to '{path}' and do the same again"
    try:
        # pooch writes beside the place, and renames what came as a whole
        pooch.retrieve(file.url, None, fname=path.name, path=path.parent, downloader=get)
    except _Other:
        said = f"was recorded when it was first downloaded, in '{path.parent / SUMS}'" if recorded else "is published"
        accept = "; if its authors have replaced it, delete that record" if recorded else f"; {by_hand}"
        raise VentralError(
            f"'{file.url}' is not the file expected: its SHA-256 is {got}, and {expected} {said}{accept}"
        ) from None
    except HTTPError as error:
        answer = f"{error.response.status_code} {error.response.reason}"
        raise VentralError(f"'{file.url}' cannot be downloaded: the server answers {answer}; {by_hand}") from None
    except RequestException as error:
        raise VentralError(f"'{file.url}' cannot be downloaded: {_why(error)}; {by_hand}") from None
    except OSError as error:  # a full disk, a folder that may not be written
        raise VentralError(
            f"'{file.url}' cannot be saved as '{path}': {reason(error)}; make room, or name another folder with"
            f" {VARIABLE}"
        ) from None
    return got or sha256_of(path)  # where another process was faster


class _Other(Exception):
    """The file is another one than expected."""


def _why(error: Exception) -> str:
    from requests import exceptions

    if "timed out" in str(error):  # while a file comes, it is no Timeout to requests
        return f"nothing came for {TIMEOUT_S:g} s"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the transfer broke off"
    if isinstance(error, exceptions.SSLError):
        return "the server does not prove who it is"
    if isinstance(error, exceptions.ConnectionError):
        return "the server cannot be reached (is there a network?)"
    return reason(error)


def _stay_encrypted(response: Any, *_: Any, **__: Any) -> None:
    """Refuses to be sent on from https to anything else."""
    from requests.exceptions import InvalidSchema

    if response.is_redirect and response.url.startswith("https:"):
        to = urljoin(response.url, response.headers["location"])
        if not to.startswith("https:"):
            raise InvalidSchema(f"the server sends on to '{to}', which is not encrypted")


class _Bar(AbstractContextManager["_Bar"]):
    """What pooch tells of a download, as our progress."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.total = 0  # bytes; pooch sets it, 0 if the server does not tell
        self.done = 0
        self.shown: Progress | None = None

    def update(self, count: int) -> None:
        """So many more bytes are here."""
        before, self.done = self.done, min(self.done + count, self.total)
        if self.total and self.shown is None:
            self.shown = Progress(self.what, math.ceil(self.total / 1e6), "MB").__enter__()
        if self.shown is not None and math.ceil(self.done / 1e6) > math.ceil(before / 1e6):
            self.shown.update(math.ceil(self.done / 1e6))

    def reset(self) -> None:
        """All are here; pooch says it again."""

    def close(self) -> None:
        """The download is over."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown is not None:
            self.shown.__exit__(kind, error, trace)


def _sha256_if_there(path: Path) -> str:
    why = why_no_file(path)
    if why in _ABSENT:
        return ""
    if why:
        raise VentralError(f"'{printable(path)}' cannot be read: {why}")
    try:
        return sha256_of(path)
    except OSError as error:
        raise VentralError(f"'{printable(path)}' cannot be read: {reason(error)}") from None


def _read_record(path: Path) -> dict[str, str]:
    if why_no_file(path) in _ABSENT:
        return {}
    try:
        pairs = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        return {name: sha256 for sha256, name in pairs}
    except (OSError, ValueError) as error:
        raise VentralError(f"'{printable(path)}' cannot be read: {reason(error)}; delete it") from None


def _write_record(path: Path, more: dict[str, str]) -> None:
    import pooch.utils

    record = _read_record(path) | more
    try:
        with pooch.utils.temporary_file(path.parent) as part:  # a name of its own: others may download, too
            Path(part).write_text("".join(f"{sha256}  {name}\n" for name, sha256 in record.items()), encoding="utf-8")
            Path(part).chmod(0o644)
            Path(part).replace(path)
    except OSError as error:
        raise VentralError(f"'{printable(path)}' cannot be written: {reason(error)}") from None
