"""Walks JPEG, WebP and GIF files to the places where programs keep parameters."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from gallery.metadata.exif import read_exif
from gallery.metadata.fields import PIECE_LIMIT, TOTAL_LIMIT, Fields, decode

SEGMENT_COUNT = 10_000
GIF_BLOCK_COUNT = 500_000  # of at most 255 bytes each
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_START_OF_SCAN, _END_OF_IMAGE, _APP1, _COMMENT = 0xDA, 0xD9, 0xE1, 0xFE


def read_jpeg(file: BinaryIO, fields: Fields) -> None:
    file.seek(2)
    for _ in range(SEGMENT_COUNT):
        head = file.read(2)
        if len(head) < 2 or head[0] != 0xFF or head[1] in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        if head[1] == 0xFF:  # a fill byte before the marker
            file.seek(-1, 1)
        elif head[1] not in _STANDALONE and not _read_segment(head[1], file, fields):
            return


def _read_segment(marker: int, file: BinaryIO, fields: Fields) -> bool:
    size = file.read(2)
    length = struct.unpack(">H", size)[0] - 2 if len(size) == 2 else -1
    if length < 0:
        return False
    if marker not in (_APP1, _COMMENT):
        file.seek(length, 1)
        return True
    data = file.read(length)
    if marker == _COMMENT:
        fields.add("Comment", lambda: decode(data.rstrip(b"\0")))
    elif data.startswith(b"Exif\0\0"):
        read_exif(data, fields)
    return True


def read_webp(file: BinaryIO, fields: Fields) -> None:
    file.seek(12)
    for _ in range(SEGMENT_COUNT):
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        if kind == b"EXIF" and length <= PIECE_LIMIT:
            read_exif(file.read(length), fields)
            file.seek(length & 1, 1)
        else:
            file.seek(length + (length & 1), 1)


def read_gif(file: BinaryIO, fields: Fields) -> None:
    """Comment extensions, between the pictures' own blocks, which are passed over."""
    screen = file.read(13)
    if len(screen) < 13:
        return
    file.seek(_color_table(screen[10]), 1)
    budget = iter(range(GIF_BLOCK_COUNT))
    for _ in budget:
        kind = file.read(1)
        if kind == b"!":
            is_comment = file.read(1) == b"\xfe"
            _add_comment(_sub_blocks(file, budget, keep=is_comment), fields)
        elif kind == b",":
            descriptor = file.read(9)
            file.seek((_color_table(descriptor[8]) if len(descriptor) == 9 else 0) + 1, 1)
            _sub_blocks(file, budget, keep=False)
        else:
            return


def _add_comment(text: bytes, fields: Fields) -> None:
    if text:
        fields.add("Comment", lambda: decode(text.rstrip(b"\0")))


def _color_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(file: BinaryIO, budget: Iterator[int], *, keep: bool) -> bytes:
    kept = bytearray()
    for _ in budget:
        length = file.read(1)
        if not length or length == b"\0":
            break
        block = file.read(length[0])
        if keep and len(kept) <= TOTAL_LIMIT:
            kept += block
    return bytes(kept)
