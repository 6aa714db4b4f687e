"""A zarr store in a folder that knows the checksums of its files."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from ventralstream.errors import VentralError, reason
from ventralstream.features.journal import Files

METADATA = "zarr.json"


class CheckedStore(LocalStore):
    """What is read is compared with its checksum, so that a missing chunk is an error, where zarr gives NaN.

    zarr writes chunks side by side: when one fails, it raises at once and the others go on behind the caller's back. So
    nothing is written after `close`, which waits until what is being written is there.

    Attributes:
        files: Size and checksum of the files.
        written: Those of the files that were written since this was last emptied.
        texts: What is in those of them that are metadata.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False, files: Mapping[str, Any] | None = None) -> None:
        super().__init__(root, read_only=read_only)
        self.files: Files = dict(files or {})
        self.written: Files = {}
        self.texts: dict[str, str] = {}
        self._writes, self._changed = 0, threading.Condition()
        self._closed = False

    def close(self) -> None:
        """Ends all writing; returns when nothing changes any more."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._writes == 0)
        super().close()

    def with_read_only(self, read_only: bool = False) -> CheckedStore:
        return CheckedStore(self.root, read_only=read_only, files=self.files)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            value = await super().get(key, prototype, byte_range)
        except OSError as error:
            raise VentralError(f"cannot read '{self.root / key}': {reason(error)}") from None
        if byte_range is None and key in self.files:
            if value is None:
                raise VentralError(f"'{self.root / key}' is missing")
            if _signature(value) != self.files[key]:
                raise VentralError(f"'{self.root / key}' is damaged: it is not what was written")
        return value

    async def set(self, key: str, value: Buffer) -> None:
        with self._writing(key):
            await super().set(key, value)
            self._note(key, value)

    async def delete(self, key: str) -> None:
        with self._writing(key):
            await super().delete(key)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):
            await self.set(key, value)

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise VentralError(f"'{self.root / key}' is not written: the store has been closed")
            self._writes += 1
        try:
            yield
        finally:
            with self._changed:
                self._writes -= 1
                self._changed.notify_all()

    def _note(self, key: str, value: Buffer) -> None:
        self.files[key] = self.written[key] = _signature(value)
        if key.rpartition("/")[2] == METADATA:
            self.texts[key] = value.to_bytes().decode()


def _signature(value: Buffer) -> tuple[int, int]:
    return len(value), zlib.crc32(value.as_buffer_like())
