"""The Exif item of an AVIF or HEIF file (ISO/IEC 14496-12 and 23008-12)."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from gallery.metadata.exif import read_exif
from gallery.metadata.fields import PIECE_LIMIT, Fields

BOX_COUNT = 1_000
ITEM_COUNT = 10_000
EXTENT_COUNT = 64
META_LIMIT = 1_048_576


class _CutShortError(ValueError):
    pass


class _Bytes:
    """Reads big-endian numbers one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise _CutShortError
        self.at += size
        return self.data[self.at - size : self.at]


def read_isobmff(file: BinaryIO, fields: Fields) -> None:
    meta = _meta(file)
    if meta is None:
        return
    boxes = dict(_boxes(meta[4:]))
    try:
        item = _exif_item(boxes.get(b"iinf", b""))
        extents = _extents(boxes.get(b"iloc", b""), item)
        data = _gather(file, boxes.get(b"idat", b""), extents)
    except _CutShortError:
        return
    # The item begins with the distance from its fifth byte to the TIFF header.
    skip = int.from_bytes(data[:4], "big")
    read_exif(data[4 + skip :], fields)


def _meta(file: BinaryIO) -> bytes | None:
    file.seek(0)
    for _ in range(BOX_COUNT):
        head = file.read(8)
        if len(head) < 8:
            return None
        size, kind = struct.unpack(">I4s", head)
        header = 8
        if size == 1:
            size, header = int.from_bytes(file.read(8), "big"), 16
        if kind == b"meta":
            return file.read(size - header) if header + 4 <= size <= META_LIMIT else None
        if not header <= size < 2**62:
            return None
        file.seek(size - header, 1)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(BOX_COUNT):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _exif_item(iinf: bytes) -> int:
    """The number of the item that holds EXIF."""
    version = iinf[:1]
    for kind, infe in _boxes(iinf[6 if version == b"\0" else 8 :]):
        reader = _Bytes(infe)
        infe_version = reader.number(1)
        reader.take(3)
        item = reader.number(4 if infe_version >= 3 else 2)
        reader.take(2)
        if kind == b"infe" and infe_version >= 2 and reader.take(4) == b"Exif":
            return item
    raise _CutShortError


def _extents(iloc: bytes, wanted: int) -> list[tuple[bool, int, int]]:
    """(inside idat, offset, length) of each piece of the item."""
    reader = _Bytes(iloc)
    version = reader.number(1)
    reader.take(3)
    sizes = reader.number(2)
    offset, length, base = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index = sizes & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    for _ in range(min(reader.number(wide), ITEM_COUNT)):
        item = reader.number(wide)
        inside = bool(reader.number(2) & 15) if version in (1, 2) else False
        reader.take(2)
        start = reader.number(base)
        pieces = []
        for _ in range(min(reader.number(2), EXTENT_COUNT)):
            reader.take(index)
            pieces.append((inside, start + reader.number(offset), reader.number(length)))
        if item == wanted:
            return pieces
    raise _CutShortError


def _gather(file: BinaryIO, idat: bytes, extents: list[tuple[bool, int, int]]) -> bytes:
    pieces, left = [], PIECE_LIMIT
    for inside, offset, length in extents:
        left -= length
        if left < 0 or offset >= 2**62:
            raise _CutShortError
        if inside:
            pieces.append(idat[offset : offset + length])
        else:
            file.seek(offset)
            pieces.append(file.read(length))
    return b"".join(pieces)
