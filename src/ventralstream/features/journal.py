"""The journal of a store of features: what has been written, line by line, with checksums.

Its first line is what the features are of; each further one is what a batch has added: how many stimuli are dealt
with, how many rows there are, which stimuli were skipped, and size and CRC-32 of every file written for it. A line
begins with its own CRC-32, so that one that was cut off or damaged is known. While a store grows the journal tells how
far it is; when it is finished, whether it is whole.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ventralstream.errors import VentralError, reason
from ventralstream.files import write_text

NAME = "journal.jsonl"
FORMAT = "ventralstream features 2"

Files: TypeAlias = dict[str, tuple[int, int]]
"""Size and CRC-32 of files, by their paths in the store, with forward slashes."""


@dataclass(frozen=True)
class Entry:
    """What a batch has added.

    Attributes:
        done: How many stimuli have been dealt with, read or skipped, in all.
        rows: How many have been stored, in all.
        skipped: The stimuli of this batch that could not be read: {"id": ..., "reason": ...}.
        files: The files that were written for it.
        texts: What is in those of them that are metadata.
        complete: Whether the store is finished.
        end: The length of the journal after it, in bytes; set when it is read.
    """

    done: int
    rows: int
    skipped: list[dict[str, str]] = field(default_factory=list)
    files: Files = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    complete: bool = False
    end: int = 0


@dataclass(frozen=True)
class Journal:
    """A journal as it was read.

    Attributes:
        about: What the features are of: its first line.
        entries: The lines after it that are whole; before them one of nothing done.
        whole: Whether these are all its lines.
    """

    about: dict[str, Any]
    entries: list[Entry]
    whole: bool

    @property
    def complete(self) -> bool:
        """Whether the store is finished."""
        return self.whole and self.entries[-1].complete

    @property
    def done(self) -> int:
        """How many stimuli have been dealt with, read or skipped."""
        return self.entries[-1].done

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Those that could not be read."""
        return [one for entry in self.entries for one in entry.skipped]

    @property
    def files(self) -> Files:
        """The files of the store, as they were written last."""
        return {key: value for entry in self.entries for key, value in entry.files.items()}

    @property
    def texts(self) -> dict[str, str]:
        """What is in those of them that are metadata."""
        return {key: text for entry in self.entries for key, text in entry.texts.items()}

    def before(self, keys: Iterable[str]) -> Journal:
        """The journal until none of these files had been written, and the store was not finished."""
        kept = [entry for entry in self.entries if not entry.complete]
        for key in keys:
            kept = kept[: next((i for i, entry in enumerate(kept) if key in entry.files), len(kept))]
        return Journal(self.about, kept, self.whole)


def read(folder: Path) -> Journal | None:
    """Reads the journal in a folder, up to the first line that is not whole; None if there is none.

    Raises:
        VentralError: It cannot be read, its first line is not whole, or it is of another version.
    """
    try:
        raw = (folder / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise VentralError(f"cannot read '{folder / NAME}': {reason(error)}") from None
    first, *lines = raw.splitlines(keepends=True) or [b""]
    about = _parse(first)
    if about is None or "format" not in about:
        raise VentralError(f"'{folder / NAME}' is damaged in its first line, which says what the features are of")
    if about["format"] != FORMAT:
        raise other_version(folder, about["format"])
    entries = [Entry(0, 0, end=len(first))]
    skipped = 0
    for line in lines:
        data = _parse(line)
        if data is None or "format" in data:
            break
        data["files"] = {key: tuple(value) for key, value in data["files"].items()}
        entry = Entry(**data, end=entries[-1].end + len(line))
        skipped += len(entry.skipped)
        if entry.done - entry.rows != skipped:  # lines were lost or doubled
            break
        entries.append(entry)
    return Journal(about, entries, entries[-1].end == len(raw))


def other_version(folder: Path, found: object) -> VentralError:
    """The error for a store that another version has written."""
    return VentralError(
        f"'{folder}' was written by another version of ventralstream (as '{found}', this one writes '{FORMAT}');"
        " extract it again"
    )


def begin(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes a journal's first line, in place of what was there."""
    write_text(folder / NAME, _line({"format": FORMAT, **about}))


def add(folder: Path, entry: Entry) -> None:
    """Writes a line to a journal's end."""
    data = asdict(entry)
    del data["end"]
    with (folder / NAME).open("a", encoding="ascii") as file:
        file.write(_line(data))


def cut(folder: Path, kept: Journal) -> None:
    """Takes away the lines that are not among those that are kept."""
    os.truncate(folder / NAME, kept.entries[-1].end)


def forget(folder: Path) -> None:
    """Takes away all lines but the first."""
    path = folder / NAME
    if path.is_file():
        with path.open("rb") as file:
            end = len(file.readline())
        os.truncate(path, end)


def _line(data: Mapping[str, Any]) -> str:
    text = json.dumps(data)  # pure ASCII: whatever is in a name, a line is a line
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    crc, _, text = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or crc != b"%08x" % zlib.crc32(text):
        return None
    data: dict[str, Any] = json.loads(text)
    return data
