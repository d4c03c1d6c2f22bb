"""Sizes and frames of AVIF files: boxes of ISO/IEC 14496-12, and of 23008-12 for still pictures."""

from collections.abc import Iterator
from typing import BinaryIO

BOX_COUNT = 10_000
BOX_LIMIT = 4 << 20  # the largest description that is read; pixels lie elsewhere
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco")
DEPTH = 8


def read_avif(file: BinaryIO) -> tuple[int, int, int]:
    """The largest of all items and tracks, and the frames of the longest track. Raises ValueError, EOFError."""
    sizes, frames = [(0, 0)], 0
    for kind, data in _descriptions(file):
        for name, body in _walk(kind, data, 0):
            if name == b"ispe":
                sizes.append((_number(body, 4), _number(body, 8)))
            elif name == b"tkhd":  # 16.16 fixed point at its end
                sizes.append((_number(body, len(body) - 8) >> 16, _number(body, len(body) - 4) >> 16))
            elif name == b"stsz":
                frames = max(frames, _number(body, 8))
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if not width:
        raise ValueError("no size")
    return max(width, *(size[0] for size in sizes)), max(height, *(size[1] for size in sizes)), max(1, frames)


def _descriptions(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    file.seek(0)
    for _ in range(BOX_COUNT):
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind, header = _number(head, 0), head[4:], 8
        if size == 1:
            size, header = int.from_bytes(file.read(8), "big"), 16
        if kind in (b"meta", b"moov"):
            if not header <= size <= BOX_LIMIT:
                raise ValueError("a description of that size")
            yield kind, file.read(size - header)
        elif not header <= size < 2**40:  # 0: up to the end of the file
            return
        else:
            file.seek(size - header, 1)
    raise ValueError("too many boxes")


def _walk(kind: bytes, data: bytes, depth: int) -> Iterator[tuple[bytes, bytes]]:
    if kind == b"meta":
        data = data[4:]  # version and flags
    elif kind not in _CONTAINERS:
        yield kind, data
        return
    if depth > DEPTH:
        raise ValueError("too deep")
    at = 0
    for _ in range(BOX_COUNT):
        if at + 8 > len(data):
            return
        size = _number(data, at)
        if size < 8:
            return
        yield from _walk(data[at + 4 : at + 8], data[at + 8 : at + size], depth + 1)
        at += size
    raise ValueError("too many boxes")


def _number(data: bytes, at: int) -> int:
    if at < 0 or at + 4 > len(data):
        raise EOFError
    return int.from_bytes(data[at : at + 4], "big")
