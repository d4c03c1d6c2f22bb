"""The text chunks of a PNG, without its pixels."""

import struct
import zlib
from typing import BinaryIO

from gallery.metadata.exif import read_exif
from gallery.metadata.fields import PIECE_LIMIT, TOTAL_LIMIT, Fields, decode

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK_COUNT = 200_000
# ComfyUI's animated PNGs keep the two texts in a chunk of their own.
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"comf")


def read_png(file: BinaryIO, fields: Fields) -> None:
    file.seek(len(SIGNATURE))
    for _ in range(CHUNK_COUNT):
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind in (*_TEXT_CHUNKS, b"eXIf") and length <= PIECE_LIMIT:
            _read_chunk(kind, file.read(length), fields)
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)


def _read_chunk(kind: bytes, data: bytes, fields: Fields) -> None:
    if kind == b"eXIf":
        read_exif(data, fields)
        return
    name, zero, rest = data.partition(b"\0")
    key = name.decode("latin-1")
    if not zero or key.startswith("XML:"):
        return
    unpack = {b"zTXt": _compressed, b"iTXt": _international}.get(kind, bytes)
    fields.add(key, lambda: decode(unpack(rest)))


def _compressed(rest: bytes) -> bytes:
    return _inflate(rest[1:])


def _international(rest: bytes) -> bytes:
    """Compression flag and method, language, translated key, text."""
    flag, parts = rest[:1], rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return b""
    return _inflate(parts[2]) if flag == b"\x01" else parts[2]


def _inflate(data: bytes) -> bytes:
    """At most TOTAL_LIMIT bytes; a text that would be longer is given up."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, TOTAL_LIMIT + 1)
    except zlib.error:
        return b""
    return text if len(text) <= TOTAL_LIMIT else b""
