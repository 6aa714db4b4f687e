"""The sorted string table and the protocol buffers that a TensorFlow checkpoint's index is made of.

A table is blocks of (key, value), the last of which says where the others are; a value is a protocol buffer. Nothing in
it is believed before it is checked: whatever is read, its place and size are compared with the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import google_crc32c

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_LONGEST_KEY = 4096  # bytes; keys share prefixes, so that a small file could spell out very long ones
_MOST_KEYS = 200_000

Fields = dict[int, list[int | bytes]]


class Broken(Exception):
    """The file is not what it should be; told to the user with its name."""


def read_table(data: bytes) -> list[tuple[bytes, bytes]]:
    """The (key, value) pairs of a sorted string table.

    Raises:
        Broken: it is cut off, a checksum is wrong, or something in it points to where nothing is.
    """
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise Broken("the index has no valid end")
    body, footer = data[:-_FOOTER], data[-_FOOTER:]
    at = 0
    for _ in range(2):  # where the block of metadata is, which there is none of
        _, at = varint(footer, at)
    offset, at = varint(footer, at)
    size, _ = varint(footer, at)
    places = [_place(handle) for _, handle in _block(body, offset, size)]
    if any(second[0] < sum(first) for first, second in pairwise(places)):
        raise Broken("the blocks of the index are not one after the other")
    found: list[tuple[bytes, bytes]] = []
    for place in places:
        found += _block(body, *place)
        if len(found) > _MOST_KEYS:
            raise Broken(f"it has more than {_MOST_KEYS} variables")
    if any(second[0] <= first[0] for first, second in pairwise(found)):
        raise Broken("the names in the index are not in order")
    return found


def _place(handle: bytes) -> tuple[int, int]:
    offset, at = varint(handle, 0)
    size, _ = varint(handle, at)
    return offset, size


def _block(data: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    if offset + size + 5 > len(data):
        raise Broken("a block of the index is not all there")
    content, kind = data[offset : offset + size], data[offset + size]
    (crc,) = struct.unpack("<I", data[offset + size + 1 : offset + size + 5])
    if masked_crc(data[offset : offset + size + 1]) != crc:
        raise Broken("the checksum of a block of the index is wrong")
    if kind != 0:
        raise Broken("its index is compressed, which TensorFlow's own checkpoints are not")
    if size < 4:
        raise Broken("a block of the index is too short")
    (restarts,) = struct.unpack("<I", content[-4:])
    end = size - 4 - 4 * restarts
    if end < 0:
        raise Broken("a block of the index is too short")
    return list(_pairs(content[:end]))


def _pairs(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    key, at, count = b"", 0, 0
    while at < len(content):
        shared, at = varint(content, at)
        own, at = varint(content, at)
        length, at = varint(content, at)
        if shared > len(key) or at + own + length > len(content):
            raise Broken("an entry of the index is not all there")
        key = key[:shared] + content[at : at + own]
        count += 1
        if len(key) > _LONGEST_KEY or count > _MOST_KEYS:
            raise Broken("the index has too many or too long names")
        at += own
        yield key, content[at : at + length]
        at += length


def fields(data: bytes) -> Fields:
    """The fields of a protocol buffer by number: whole numbers of 0 or more, or bytes.

    Raises:
        Broken: it is cut off, or has fields of an unknown kind.
    """
    found: Fields = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire = tag & 7
        value: int | bytes
        if wire == 0:
            value, at = varint(data, at)
        elif wire in (1, 2, 5):
            length = {1: 8, 5: 4}.get(wire, 0)
            if wire == 2:
                length, at = varint(data, at)
            if at + length > len(data):
                raise Broken("a field of the index is not all there")
            raw, at = data[at : at + length], at + length
            value = raw if wire == 2 else int.from_bytes(raw, "little")
        else:
            raise Broken("a field of the index has an unknown kind")
        found.setdefault(tag >> 3, []).append(value)
    return found


def number(of: Fields, field: int, default: int = 0) -> int:
    """A field that is a whole number of 0 or more; its default if it is not there."""
    value = of.get(field, [default])[-1]
    if not isinstance(value, int):
        raise Broken("a field of the index is text where a number should be")
    if value >= 1 << 63:  # of 64 bits, signed
        raise Broken(f"a size or place in the index is negative ({value - (1 << 64)})")
    return value


def messages(of: Fields, field: int) -> list[Fields]:
    """The protocol buffers that are a field."""
    values = of.get(field, [])
    if not all(isinstance(v, bytes) for v in values):
        raise Broken("a field of the index is a number where a message should be")
    return [fields(v) for v in values if isinstance(v, bytes)]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number of up to 64 bits, 7 to a byte, at a position; and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Broken("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at
    raise Broken("a number in the index has more than 64 bits")


def masked_crc(data: bytes) -> int:
    """CRC-32C as these files store it: rotated and offset."""
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
