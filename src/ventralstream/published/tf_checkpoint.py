"""Reads TensorFlow checkpoints (`NAME.index` + `NAME.data-*`, the V2 bundle) without TensorFlow.

The index is a sorted string table: blocks of (key, value), the last of which says where the others are. A value is a
protocol buffer that gives a tensor's type, shape, and its place in a data file, or the slices that it was saved in.
Checksums (CRC-32C) of all blocks and tensors are verified.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ventralstream.errors import VentralError

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    10: "|b1",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
Array = NDArray[np.generic]


class _Broken(Exception):
    """The file is not what it should be; told to the user with its name."""


@dataclass(frozen=True)
class _Entry:
    """Where a tensor (or a slice of one) is."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    slices: tuple[tuple[slice, ...], ...] = ()


def read_tf_checkpoint(path: str | Path) -> dict[str, Array]:
    """Reads every variable of a checkpoint.

    Args:
        path: The checkpoint's prefix ("model.ckpt"), or its `.index` file, or a data file.

    Returns:
        Variable names to arrays in TensorFlow's layout.

    Raises:
        VentralError: if a file is missing, truncated or damaged, or holds a type that is no number.
    """
    prefix = _prefix(Path(path))
    index = prefix.with_name(prefix.name + ".index")
    try:
        table = dict(_table(index.read_bytes()))
        shards = _fields(table.pop(b"", b"")).get(1, [1])[-1]
        return _tensors(table, _Shards(prefix, int(shards)))
    except FileNotFoundError as error:
        raise VentralError(f"the TensorFlow checkpoint '{prefix}' needs the file '{error.filename}'") from None
    except (_Broken, IndexError, struct.error) as error:
        what = str(error) if isinstance(error, _Broken) else "it ends too early"
        raise VentralError(f"'{index}' is not a whole TensorFlow checkpoint: {what}") from None


def checkpoint_files(path: str | Path) -> list[Path]:
    """The files of a checkpoint, the index first; `path` as for `read_tf_checkpoint`."""
    prefix = _prefix(Path(path))
    return [prefix.with_name(f"{prefix.name}.index"), *sorted(prefix.parent.glob(f"{prefix.name}.data-*"))]


def _prefix(path: Path) -> Path:
    if path.suffix == ".index" or path.suffix.startswith(".data-"):
        return path.with_suffix("")
    return path


class _Shards:
    """The data files."""

    def __init__(self, prefix: Path, count: int) -> None:
        self.prefix, self.count = prefix, count

    def read(self, name: str, entry: _Entry) -> Array:
        if entry.dtype not in _DTYPES:
            raise _Broken(f"variable '{name}' has TensorFlow's type {entry.dtype}, which is no plain number")
        path = self.prefix.with_name(f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.count:05d}")
        with path.open("rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        dtype = np.dtype(_DTYPES[entry.dtype])
        if len(data) != entry.size or entry.size != math.prod(entry.shape) * dtype.itemsize:
            raise _Broken(f"the bytes of variable '{name}' are not all there")
        if _masked_crc(data) != entry.crc:
            raise _Broken(f"the checksum of variable '{name}' is wrong")
        return np.frombuffer(data, dtype).reshape(entry.shape).copy()


def _tensors(table: dict[bytes, bytes], shards: _Shards) -> dict[str, Array]:
    entries = {key: _entry(value) for key, value in table.items()}
    saved_slices = {_slice_key(key): entry for key, entry in entries.items() if key.startswith(b"\0")}
    arrays: dict[str, Array] = {}
    for key, entry in entries.items():
        if key.startswith(b"\0"):
            continue
        name = key.decode()
        if not entry.slices:
            arrays[name] = shards.read(name, entry)
            continue
        whole: Array = np.zeros(entry.shape, _DTYPES[entry.dtype])
        for part in entry.slices:
            at = tuple(slice(s.start, s.stop) if s.stop is not None else slice(None) for s in part)
            found = saved_slices.get((name, tuple((s.start, s.stop) for s in part)))
            if found is None:
                raise _Broken(f"a slice of variable '{name}' is missing")
            whole[at] = shards.read(name, replace(found, shape=whole[at].shape))
        arrays[name] = whole
    return arrays


def _entry(data: bytes) -> _Entry:
    fields = _fields(data)
    return _Entry(
        dtype=fields.get(1, [0])[-1],
        shape=_shape(fields.get(2, [b""])[-1]),
        shard=fields.get(3, [0])[-1],
        offset=fields.get(4, [0])[-1],
        size=fields.get(5, [0])[-1],
        crc=fields.get(6, [0])[-1],
        slices=tuple(tuple(_extent(e) for e in _fields(part).get(1, [])) for part in fields.get(7, [])),
    )


def _shape(data: bytes) -> tuple[int, ...]:
    return tuple(_fields(dim).get(1, [0])[-1] for dim in _fields(data).get(2, []))


def _extent(data: bytes) -> slice:
    """A slice's part along one axis; stop None is the whole axis."""
    fields = _fields(data)
    if 2 not in fields:
        return slice(0, None)
    start = fields.get(1, [0])[-1]
    return slice(start, start + fields[2][-1])


def _slice_key(key: bytes) -> tuple[str, tuple[tuple[int, int | None], ...]]:
    """The variable's name and the slice, from the ordered code that slices are filed under."""
    name, at = bytearray(), 1  # after the leading number 0
    while key[at : at + 2] != b"\0\1":
        escape = key[at : at + 2]
        if escape in (b"\0\xff", b"\xff\0"):
            name.append(escape[0])
            at += 2
        else:
            name.append(key[at])
            at += 1
    at += 2
    digits = key[at]
    rank = int.from_bytes(key[at + 1 : at + 1 + digits], "big")
    at += 1 + digits
    parts: list[tuple[int, int | None]] = []
    for _ in range(rank):
        start, at = _signed(key, at)
        length, at = _signed(key, at)
        parts.append((start, start + length) if length >= 0 else (0, None))
    return name.decode(), tuple(parts)


def _signed(key: bytes, at: int) -> tuple[int, int]:
    """A signed number in ordered code: as many leading ones as it has bytes (all bits inverted if negative)."""
    negative = key[at] < 0x80
    flip = 0xFF if negative else 0
    first = key[at] ^ flip
    length = 8 - (first ^ 0xFF).bit_length()
    if not 1 <= length <= 7:
        raise _Broken("a slice's extent is too large")
    raw = int.from_bytes(bytes(b ^ flip for b in key[at : at + length]), "big")
    value = raw & ((1 << (7 * length - 1)) - 1)
    return (~value if negative else value), at + length


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) pairs of a sorted string table."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise _Broken("the index has no valid end")
    footer = data[-_FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _block(data, offset, size):
        offset, at = _varint(handle, 0)
        size, _ = _varint(handle, at)
        yield from _block(data, offset, size)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    content, kind = data[offset : offset + size], data[offset + size]
    (crc,) = struct.unpack("<I", data[offset + size + 1 : offset + size + 5])
    if _masked_crc(data[offset : offset + size + 1]) != crc:
        raise _Broken("the checksum of a block of the index is wrong")
    if kind != 0:
        raise _Broken("its index is compressed, which TensorFlow's own checkpoints are not")
    (restarts,) = struct.unpack("<I", content[-4:])
    end = len(content) - 4 - 4 * restarts
    key, at = b"", 0
    while at < end:
        shared, at = _varint(content, at)
        own, at = _varint(content, at)
        length, at = _varint(content, at)
        key = key[:shared] + content[at : at + own]
        at += own
        yield key, content[at : at + length]
        at += length


def _fields(data: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer by number: whole numbers, or bytes."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
            value, at = int.from_bytes(data[at : at + length], "little"), at + length
        else:
            raise _Broken("a field of the index has an unknown kind")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _masked_crc(data: bytes) -> int:
    """CRC-32C as these files store it: rotated and offset."""
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
