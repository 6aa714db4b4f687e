"""Reads TensorFlow checkpoints (`NAME.index` + `NAME.data-*`, the V2 bundle) without TensorFlow.

The index is a sorted string table (`string_table`). It gives each tensor's type, shape, and its place in a data file,
or the slices that it was saved in. Checksums (CRC-32C) of all blocks and tensors are verified. No array is made before
its bytes are known to be there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ventralstream.errors import VentralError, printable, reason
from ventralstream.files import is_folder, why_no_file
from ventralstream.published.string_table import Broken, Fields, fields, masked_crc, messages, number, read_table

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
_LARGEST_INDEX = 1 << 26  # bytes; those of the published networks have some 100 kB
_MOST_AXES, _MOST_NUMBERS = 32, 1 << 60  # NumPy's
Array = NDArray[np.generic]
Extents = tuple[tuple[int, int | None], ...]  # (start, stop) along each axis; stop None is the whole axis


@dataclass(frozen=True)
class _Entry:
    """Where a tensor (or a slice of one) is."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    slices: tuple[Extents, ...]


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
    if why_no_file(index) and is_folder(path):
        raise VentralError(_of_folder(Path(path)))
    _require(index, prefix)
    try:
        if index.stat().st_size > _LARGEST_INDEX:
            raise Broken(f"its index has more than {_LARGEST_INDEX >> 20} MB")
        table = dict(read_table(index.read_bytes()))
        header = fields(table.pop(b"", b""))
        if number(header, 2):
            raise Broken("it was written by a big-endian machine")
        return _tensors({k: _entry(v) for k, v in table.items()}, _Shards(prefix, number(header, 1, 1)))
    except Broken as error:
        raise VentralError(f"'{printable(index)}' is not a whole TensorFlow checkpoint: {printable(error)}") from None
    except OSError as error:
        raise VentralError(f"the TensorFlow checkpoint '{printable(prefix)}' cannot be read: {reason(error)}") from None


def checkpoint_files(path: str | Path) -> list[Path]:
    """The files of a checkpoint, the index first; `path` as for `read_tf_checkpoint`."""
    prefix = _prefix(Path(path))
    start = f"{prefix.name}.data-"
    data = sorted(f for f in prefix.parent.iterdir() if f.name.startswith(start))
    return [prefix.with_name(f"{prefix.name}.index"), *data]


def _prefix(path: Path) -> Path:
    if path.suffix == ".index" or path.suffix.startswith(".data-"):
        return path.with_suffix("")
    return path if path.name else path.resolve()  # "." and "/" have no name to put an ending to


def _of_folder(folder: Path) -> str:
    found = sorted(f.name.removesuffix(".index") for f in folder.iterdir() if f.name.endswith(".index"))
    give = f"such as '{printable(folder / found[0])}'" if found else "but there is no .index file in it"
    return f"'{printable(folder)}' is a folder; expected the prefix of a TensorFlow checkpoint in it, {give}"


def _require(file: Path, prefix: Path) -> None:
    if why := why_no_file(file):
        raise VentralError(
            f"the TensorFlow checkpoint '{printable(prefix)}' needs the file '{printable(file)}': {why}"
        ) from None


class _Shards:
    """The data files; each byte of them is given to one variable at most."""

    def __init__(self, prefix: Path, count: int) -> None:
        if not 1 <= count <= 99_999:
            raise Broken(f"it says that it has {count} data files")
        self.prefix, self.count = prefix, count
        self.sizes: dict[int, int] = {}
        self.given = 0

    def size(self, shard: int) -> int:
        """The size of a data file in bytes."""
        if shard >= self.count:
            raise Broken(f"it points to data file {shard} of {self.count}")
        if shard not in self.sizes:
            _require(self._path(shard), self.prefix)
            self.sizes[shard] = self._path(shard).stat().st_size
        return self.sizes[shard]

    def check(self, name: str, entry: _Entry) -> None:
        """Raises `Broken` if the bytes of an entry are not there."""
        if entry.dtype not in _DTYPES:
            raise Broken(f"variable '{name}' has TensorFlow's type {entry.dtype}, which is no plain number")
        wanted = math.prod(entry.shape) * np.dtype(_DTYPES[entry.dtype]).itemsize
        if entry.size != wanted or entry.offset + entry.size > self.size(entry.shard):
            raise Broken(f"the bytes of variable '{name}' are not all there")
        self.given += entry.size
        if self.given > sum(self.sizes.values()):
            raise Broken(f"variable '{name}' lies where others do")

    def read(self, name: str, entry: _Entry) -> Array:
        """The array of an entry that was checked."""
        with self._path(entry.shard).open("rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) != entry.size or masked_crc(data) != entry.crc:
            raise Broken(f"the checksum of variable '{name}' is wrong")
        return np.frombuffer(data, _DTYPES[entry.dtype]).reshape(entry.shape).copy()

    def _path(self, shard: int) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self.count:05d}")


def _tensors(entries: Mapping[bytes, _Entry], shards: _Shards) -> dict[str, Array]:
    saved_slices = {_slice_key(key): entry for key, entry in entries.items() if key.startswith(b"\0")}
    wholes = {_name(key): entry for key, entry in entries.items() if not key.startswith(b"\0")}
    for entry in entries.values():
        if not entry.slices:
            shards.size(entry.shard)  # all data files are known before anything is counted against them
    arrays: dict[str, Array] = {}
    for name, entry in wholes.items():
        if entry.slices:
            arrays[name] = _joined(name, entry, saved_slices, shards)
        else:
            shards.check(name, entry)
            arrays[name] = shards.read(name, entry)
    return arrays


def _joined(name: str, entry: _Entry, saved: Mapping[tuple[str, Extents], _Entry], shards: _Shards) -> Array:
    """A variable that was saved in slices, which must fill it without overlap."""
    parts: list[tuple[tuple[slice, ...], _Entry]] = []
    for extents in entry.slices:
        found = saved.get((name, extents))
        if found is None:
            raise Broken(f"a slice of variable '{name}' is missing")
        if found.dtype != entry.dtype or len(extents) != len(entry.shape):
            raise Broken(f"a slice of variable '{name}' does not fit it")
        at = [(start, size if stop is None else stop) for (start, stop), size in zip(extents, entry.shape, strict=True)]
        if any(not 0 <= start <= stop <= size for (start, stop), size in zip(at, entry.shape, strict=True)):
            raise Broken(f"a slice of variable '{name}' reaches beyond it")
        part = replace(found, shape=tuple(stop - start for start, stop in at))
        shards.check(name, part)
        parts.append((tuple(slice(*a) for a in at), part))
    if sum(math.prod(part.shape) for _, part in parts) != math.prod(entry.shape):
        raise Broken(f"the slices of variable '{name}' do not fill it once")
    whole: Array = np.zeros(entry.shape, _DTYPES[entry.dtype])
    filled = np.zeros(entry.shape, bool)
    for at_, part in parts:
        if filled[at_].any():
            raise Broken(f"the slices of variable '{name}' overlap")
        filled[at_] = True
        whole[at_] = shards.read(name, part)
    return whole


def _entry(data: bytes) -> _Entry:
    of = fields(data)
    shape = tuple(number(dim, 1) for part in messages(of, 2)[-1:] for dim in messages(part, 2))
    if len(shape) > _MOST_AXES:
        raise Broken(f"a variable has {len(shape)} axes")
    if math.prod(size for size in shape if size) >= _MOST_NUMBERS:  # though one axis may have none
        raise Broken(f"a variable has the shape {list(shape)}")
    return _Entry(
        dtype=number(of, 1),
        shape=shape,
        shard=number(of, 3),
        offset=number(of, 4),
        size=number(of, 5),
        crc=number(of, 6),
        slices=tuple(tuple(_extent(e) for e in messages(part, 1)) for part in messages(of, 7)),
    )


def _extent(of: Fields) -> tuple[int, int | None]:
    start = number(of, 1)
    return (start, start + number(of, 2)) if 2 in of else (0, None)


def _name(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Broken(f"the name of a variable is not UTF-8 ({raw[:40]!r})") from None


def _slice_key(key: bytes) -> tuple[str, Extents]:
    """The variable's name and the slice, from the ordered code that slices are filed under."""
    name, at = bytearray(), 1  # after the leading number 0
    while key[at : at + 2] != b"\0\1":
        escape = key[at : at + 2]
        if len(escape) < 2:
            raise Broken("the name of a slice is cut off")
        if escape in (b"\0\xff", b"\xff\0"):
            name.append(escape[0])
            at += 2
        else:
            name.append(key[at])
            at += 1
    at += 2
    digits = _byte(key, at)
    axes = int.from_bytes(key[at + 1 : at + 1 + digits], "big")
    if axes > _MOST_AXES:
        raise Broken(f"a slice has {axes} axes")
    at += 1 + digits
    parts: list[tuple[int, int | None]] = []
    for _ in range(axes):
        start, at = _signed(key, at)
        length, at = _signed(key, at)
        parts.append((start, start + length) if length >= 0 else (0, None))
    return _name(bytes(name)), tuple(parts)


def _signed(key: bytes, at: int) -> tuple[int, int]:
    """A signed number in ordered code: as many leading ones as it has bytes (all bits inverted if negative)."""
    first = _byte(key, at)
    flip = 0xFF if first < 0x80 else 0
    first ^= flip
    length = 8 - (first ^ 0xFF).bit_length()
    if not 1 <= length <= 7:
        raise Broken("a slice's extent is too large")
    raw = int.from_bytes(bytes(b ^ flip for b in key[at : at + length]), "big")
    value = raw & ((1 << (7 * length - 1)) - 1)
    return (~value if flip else value), at + length


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise Broken("the name of a slice is cut off")
    return data[at]
