"""Foreign checkpoints: whatever is in the files, they are read right or refused in one sentence, at once."""

from __future__ import annotations

import os
import random
import shutil
import struct
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import ventralstream as vs
from ventralstream.published import read_tf_checkpoint
from ventralstream.published.string_table import masked_crc

FLOAT, NOTHING = 1, b""


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def shape_of(*sizes: int) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)


def entry(
    shape: bytes, data: bytes, *, offset: int = 0, size: int | None = None, dtype: int = FLOAT, more: bytes = b""
) -> bytes:
    size = len(data) if size is None else size
    numbers = field(1, dtype) + field(2, shape) + field(4, offset) + field(5, size)
    return numbers + varint(6 << 3 | 5) + struct.pack("<I", masked_crc(data)) + more


def block(pairs: list[tuple[bytes, bytes]], kind: int = 0, restarts: int = 1) -> bytes:
    body = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs)
    content = body + struct.pack("<I", 0) + struct.pack("<I", restarts) + bytes([kind])
    return content + struct.pack("<I", masked_crc(content))


def index(table: Mapping[bytes, bytes] | list[tuple[bytes, bytes]], **how: int) -> bytes:
    """The index file of a checkpoint, all checksums right."""
    pairs = list(table.items()) if isinstance(table, Mapping) else table
    data = block(pairs, **how)
    top = block([(b"~", varint(0) + varint(len(data) - 5))])
    handles = varint(0) + varint(0) + varint(len(data)) + varint(len(top) - 5)
    return data + top + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = {b"": field(1, 1)}
DATA = np.arange(6, dtype="<f4").tobytes()
GOOD = HEADER | {b"a": entry(shape_of(2, 3), DATA)}


def write(folder: Path, raw: bytes, data: bytes | None = DATA) -> Path:
    (folder / "m.index").write_bytes(raw)
    if data is not None:
        (folder / "m.data-00000-of-00001").write_bytes(data)
    return folder / "m"


def refused(path: Path, expected: str = ".") -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(vs.VentralError, match=expected) as caught:
            read_tf_checkpoint(path)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
        assert time.process_time() - began < 5
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_what_is_whole_is_read(tmp_path: Path) -> None:
    found = read_tf_checkpoint(write(tmp_path, index(GOOD)))
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], np.arange(6, dtype="f4").reshape(2, 3))


def sliced(*slices: tuple[int, int], whole: tuple[int, int] = (2, 3), saved: bytes = DATA) -> dict[bytes, bytes]:
    """A variable saved in slices of its rows."""

    def extents(start: int, length: int) -> bytes:
        return field(1, field(1, start) + field(2, length)) + field(1, b"")

    def key(start: int, length: int) -> bytes:  # numbers of less than 64 are one byte with the upper bit set
        return b"\0a\0\1\1\2" + bytes([0x80 + start, 0x80 + length]) + bytes([0x80, 0x7F])

    more = b"".join(field(7, extents(*s)) for s in slices)
    parts = {
        key(*s): entry(b"", saved[12 * s[0] : 12 * sum(s)], offset=12 * s[0], size=12 * s[1])
        for s in sorted(set(slices))
    }
    return HEADER | parts | {b"a": entry(shape_of(*whole), b"", more=more)}


def test_slices_are_joined(tmp_path: Path) -> None:
    found = read_tf_checkpoint(write(tmp_path, index(sliced((0, 1), (1, 1)))))
    np.testing.assert_array_equal(found["a"], np.arange(6, dtype="f4").reshape(2, 3))


def of(shape: bytes = NOTHING, data: bytes = DATA, **options: int) -> dict[bytes, bytes]:
    return HEADER | {b"a": entry(shape or shape_of(2, 3), data, **options)}


LONG = b"n" * 2000
HOSTILE: dict[str, tuple[bytes, str]] = {
    "negative size": (index(of(shape_of(-2, -3))), "negative"),
    "one negative size": (index(of(shape_of(2, -3))), "negative"),
    "2^40 numbers": (index(of(shape_of(1 << 20, 1 << 20))), "not all there"),
    "2^40 numbers and bytes": (index(of(shape_of(1 << 40), size=1 << 42)), "not all there"),
    "2^120 numbers": (index(of(shape_of(1 << 60, 1 << 60))), "the shape"),
    "no numbers of too many": (index(of(shape_of(0, 1 << 62, 1 << 62), size=0)), "the shape"),
    "many axes": (index(of(shape_of(*[1] * 100), size=4)), "100 axes"),
    "negative offset": (index(of(offset=-4)), "negative"),
    "far offset": (index(of(offset=1 << 50)), "not all there"),
    "negative byte size": (index(of(size=-24)), "negative"),
    "byte size of another shape": (index(of(size=12)), "not all there"),
    "wrong checksum": (index(of(data=DATA[::-1])), "checksum of variable 'a'"),
    "type of no number": (index(of(dtype=7)), "type 7"),
    "unknown type": (index(of(dtype=999)), "type 999"),
    "unknown type, sliced": (index(sliced((0, 2)) | {b"a": entry(shape_of(2, 3), b"", dtype=99)}), "type 99"),
    "name of no UTF-8": (index(HEADER | {b"\xff\xfe": entry(shape_of(2, 3), DATA)}), "not UTF-8"),
    "name that draws": (index(HEADER | {b"a\x1b[2J\n": entry(shape_of(2, 3), b"")}), r"\\x1b"),
    "data file 5 of 1": (index(HEADER | {b"a": entry(shape_of(2, 3), DATA, more=field(3, 5))}), "data file 5 of 1"),
    "no data files": (index({b"": field(1, 0)}), "0 data files"),
    "2^62 data files": (index({b"": field(1, 1 << 62)}), "data files"),
    "two data files, one there": (index({b"": field(1, 2)} | {b"a": entry(shape_of(2, 3), DATA)}), "needs the file"),
    "big-endian": (index({b"": field(1, 1) + field(2, 1)}), "big-endian"),
    "two variables in one place": (index(GOOD | {b"b": GOOD[b"a"]}), "lies where others do"),
    "names out of order": (index([(b"", field(1, 1)), (b"b", b""), (b"a", b"")]), "not in order"),
    "one name twice": (index([(b"", field(1, 1)), (b"a", GOOD[b"a"]), (b"a", GOOD[b"a"])]), "not in order"),
    "overlapping slices": (index(sliced((0, 1), (0, 1))), "overlap|once"),
    "overlapping slices of the right size": (index(sliced((0, 2), (1, 1), whole=(3, 3))), "overlap"),
    "slices that leave a gap": (index(sliced((0, 1))), "do not fill"),
    "slices beyond": (index(sliced((0, 1), (1, 3))), "beyond"),
    "slices of 2^40 numbers": (index(sliced((0, 2), whole=(2, 1 << 40))), "not all there"),
    "missing slice": (index({k: v for k, v in sliced((0, 1), (1, 1)).items() if k[-3:-2] != b"\x81"}), "is missing"),
    "slice's name cut off": (index(HEADER | {b"\0a": b""}), "cut off"),
    "slice of many axes": (index(HEADER | {b"\0a\0\1\4\xff\xff\xff\xff": b""}), "axes"),
    "shape is a number": (index(HEADER | {b"a": field(1, 1) + field(2, 7)}), "a number where a message"),
    "type is text": (index(HEADER | {b"a": field(1, b"x")}), "text where a number"),
    "field cut off": (index(HEADER | {b"a": varint(2 << 3 | 2) + varint(1 << 40)}), "not all there"),
    "field of unknown kind": (index(HEADER | {b"a": varint(2 << 3 | 3)}), "unknown kind"),
    "number of too many bits": (index(HEADER | {b"a": b"\x08" + b"\xff" * 11}), "64 bits"),
    "number without end": (index(HEADER | {b"a": b"\x08\xff"}), "too early"),
    "compressed": (index(GOOD, kind=1), "compressed"),
    "2^32 restarts": (index(GOOD, restarts=(1 << 32) - 1), "too short"),
    "names that grow": (index([(b"", field(1, 1)), (LONG * 3, b"")]), "too long names"),
    "empty": (b"", "no valid end"),
    "text": (b"hello" * 20, "no valid end"),
    "footer alone": (index(GOOD)[-48:], "not all there|too early"),
    "cut": (index(GOOD)[:-1], "no valid end"),
    "cut in the middle": (index(GOOD)[20:], "not all there|checksum"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_index(tmp_path: Path, case: str) -> None:
    raw, expected = HOSTILE[case]
    refused(write(tmp_path, raw, DATA + DATA[:12] if "right size" in case else DATA), expected)


def test_prefixes_that_multiply(tmp_path: Path) -> None:
    """A small index that would spell out gigabytes of names."""
    long = varint(0) + varint(4000) + varint(0) + b"n" * 4000
    body = long + (varint(3999) + varint(1) + varint(0) + b"o") * 300_000
    content = body + struct.pack("<II", 0, 1) + b"\0"
    data = content + struct.pack("<I", masked_crc(content))
    top = block([(b"~", varint(0) + varint(len(data) - 5))])
    end = (varint(0) + varint(0) + varint(len(data)) + varint(len(top) - 5)).ljust(40, b"\0")
    write(tmp_path, data + top + end + struct.pack("<Q", 0xDB4775248B80FB57))
    with pytest.raises(vs.VentralError, match="too many"):
        read_tf_checkpoint(tmp_path / "m")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda f: (f / "m.index").mkdir(), "m.index': it is a folder"),
        (lambda f: os.mkfifo(f / "m.index"), "m.index': it is a named pipe"),
        (lambda f: (f / "m.index").symlink_to("gone"), "m.index': it is a link to nothing"),
        (lambda f: write(f, index(GOOD), None), "m.data-00000-of-00001': there is no such file"),
        (lambda f: (write(f, index(GOOD), None), (f / "m.data-00000-of-00001").mkdir()), "it is a folder"),
        (lambda f: (write(f, index(GOOD), None), os.mkfifo(f / "m.data-00000-of-00001")), "it is a named pipe"),
        (lambda f: write(f, index(GOOD), DATA[:-1]), "not all there"),
        (lambda f: write(f, index(GOOD), b""), "not all there"),
        (lambda f: (f / "m").mkdir(), "'.*m' is a folder; .* there is no .index file"),
        (lambda f: ((f / "m").mkdir(), (f / "m" / "net.index").touch()), "such as '.*m/net'"),
        (lambda f: None, "m.index': there is no such file"),
    ],
)
def test_files_that_are_none(tmp_path: Path, make: Callable[[Path], object], expected: str) -> None:
    make(tmp_path)
    refused(tmp_path / "m", expected)


def test_odd_paths(tmp_path: Path) -> None:
    for name in ("x" * 300, "\0", ".", "é\n"):
        refused(tmp_path / name)


def test_flipped_bytes(reference: Path, tmp_path: Path) -> None:
    """Any damage is found by a checksum; with checksums mended, it is read otherwise or refused."""
    draw = random.Random(0)
    for file in (reference / "convrnns").glob("tiny_mixed.ckpt.*"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "tiny_mixed.ckpt.index"
    whole = path.read_bytes()
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 3))):
            at = draw.randrange(len(data) - 50)
            data[at] ^= 1 << draw.randrange(8)
        path.write_bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])
        refused(path)


def test_flipped_bytes_with_checksums_mended(tmp_path: Path) -> None:
    draw = random.Random(1)
    for table in (GOOD, sliced((0, 1), (1, 1))):
        content = block(list(table.items()))[:-5]
        for _ in range(150):
            data = bytearray(content)
            for _ in range(draw.choice((1, 1, 2))):
                data[draw.randrange(len(data))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
            body = bytes(data) + b"\0"
            body += struct.pack("<I", masked_crc(body))
            top = block([(b"~", varint(0) + varint(len(data)))])
            end = (varint(0) + varint(0) + varint(len(body)) + varint(len(top) - 5)).ljust(40, b"\0")
            write(tmp_path, body + top + end + struct.pack("<Q", 0xDB4775248B80FB57))
            try:
                read_tf_checkpoint(tmp_path / "m")
            except vs.VentralError as error:
                assert str(error).isprintable()
