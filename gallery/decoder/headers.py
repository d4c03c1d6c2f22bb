"""What a file says of itself, read without decoding: its format by its bytes, its size in pixels, its frames.

Every reader is linear in the file's size and holds a few kilobytes. Of contradicting sizes the largest counts, for
that is the one which a decoder may come to allocate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from gallery.decoder.errors import Refused
from gallery.decoder.isobmff import read_avif

FORMATS = ("jpeg", "png", "webp", "avif", "gif")
CHUNK_COUNT = 10_000
_PNG = b"\x89PNG\r\n\x1a\n"
_AVIF_BRANDS = (b"avif", b"avis")
_NO_FRAME_HEADER = (0xC4, 0xC8, 0xCC)  # of 0xC0 to 0xCF those that are no start of a frame


@dataclass(frozen=True)
class Limits:
    """`pixels` of one frame; `frames` bounds an animation, and so does FRAMES_OF_PIXELS times `pixels` in all."""

    bytes: int
    pixels: int
    side: int
    frames: int


FRAMES_OF_PIXELS = 25


@dataclass(frozen=True)
class Header:
    format: str
    width: int
    height: int
    frames: int = 1


def read_header(file: BinaryIO) -> Header:
    """Raises Refused for anything but a JPEG, PNG, WebP, AVIF or GIF that begins as these must."""
    start = file.read(64)
    image_format = _format_of(start)
    if image_format is None:
        raise Refused("format", _describe(start))
    file.seek(0)
    try:
        width, height, frames = _READERS[image_format](file)
    except (EOFError, ValueError) as error:
        raise Refused("damaged", f"It begins like a {image_format.upper()} but is cut off or damaged.") from error
    if width < 1 or height < 1:
        raise Refused("damaged", "It says that it has no pixels.")
    return Header(image_format, width, height, max(1, frames))


def check_header(header: Header, limits: Limits) -> None:
    """Raises Refused for more pixels than a decoder should be trusted with."""
    sides = f"{header.width} × {header.height} pixels"
    if max(header.width, header.height) > limits.side:
        raise Refused("size", f"It has {sides}; a side may have at most {limits.side}.")
    pixels = header.width * header.height
    if pixels > limits.pixels:
        most = limits.pixels / 1_000_000
        raise Refused("size", f"It has {sides}, {pixels / 1_000_000:.0f} megapixels; at most {most:g} are taken.")
    if header.frames > limits.frames:
        raise Refused("frames", f"It is an animation of {header.frames} frames or more; at most {limits.frames} are.")
    if header.frames * pixels > FRAMES_OF_PIXELS * limits.pixels:
        raise Refused("frames", f"It is an animation of {header.frames} frames of {sides}: too much to play.")


def _format_of(start: bytes) -> str | None:
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(_PNG):
        return "png"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, len(start) - 3, 4))]
    is_avif = start[4:8] == b"ftyp" and any(brand in _AVIF_BRANDS for brand in brands)
    return "avif" if is_avif else None


def _describe(start: bytes) -> str:
    if not start:
        return "It is empty."
    lower = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = {b"<svg": "an SVG drawing", b"<?xml": "an XML document", b"<!doctype": "a web page", b"<html": "a web page",
             b"%pdf": "a PDF document", b"%!ps": "a PostScript document", b"pk\x03\x04": "a ZIP archive",
             b"ii*\0": "a TIFF picture", b"mm\0*": "a TIFF picture", b"bm": "a BMP picture",
             b"8bps": "a Photoshop file"}  # fmt: skip
    what = next((name for begin, name in known.items() if lower.startswith(begin)), "")
    if not what and start[4:8] == b"ftyp":
        what = "a HEIC picture or a video"
    return f"It is {what or 'no picture that is known here'}; JPEG, PNG, WebP, AVIF and GIF are taken."


# The formats ------------------------------------------------------------------------------------------------------

Size = tuple[int, int, int]  # width, height, frames


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _png(file: BinaryIO) -> Size:
    """IHDR comes first; acTL, the mark of an animation, before the pixels."""
    file.seek(8)
    head = _exactly(file, 25)
    if head[:8] != b"\0\0\0\rIHDR":
        raise ValueError
    width, height, frames = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big"), 1
    for _ in range(CHUNK_COUNT):
        chunk = _exactly(file, 8)
        length = int.from_bytes(chunk[:4], "big")
        if chunk[4:] in (b"IDAT", b"IEND"):
            return width, height, frames
        if chunk[4:] == b"acTL":
            frames = int.from_bytes(_exactly(file, 4), "big")
            length -= 4
        file.seek(max(0, length) + 4, 1)
    raise ValueError


def _jpeg(file: BinaryIO) -> Size:
    file.seek(2)
    for _ in range(CHUNK_COUNT):
        marker = _exactly(file, 2)
        if marker[0] != 0xFF:
            raise ValueError
        if marker[1] == 0xFF:  # a fill byte
            file.seek(-1, 1)
            continue
        if marker[1] == 0x01 or 0xD0 <= marker[1] <= 0xD8:
            continue
        length = int.from_bytes(_exactly(file, 2), "big")
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in _NO_FRAME_HEADER:
            frame = _exactly(file, 5)
            return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big"), 1
        if length < 2 or marker[1] in (0xD9, 0xDA):
            raise ValueError
        file.seek(length - 2, 1)
    raise ValueError


def _gif(file: BinaryIO) -> Size:
    """Frames may reach beyond the screen, which then grows."""
    screen = _exactly(file, 13)
    width, height, frames = int.from_bytes(screen[6:8], "little"), int.from_bytes(screen[8:10], "little"), 0
    _skip_colors(file, screen[10])
    while kind := file.read(1):
        if kind == b"\x2c":
            frame = _exactly(file, 9)
            left, top, wide, high = (int.from_bytes(frame[at : at + 2], "little") for at in (0, 2, 4, 6))
            width, height, frames = max(width, left + wide), max(height, top + high), frames + 1
            _skip_colors(file, frame[8])
            _exactly(file, 1)
        elif kind == b"\x21":
            _exactly(file, 1)
        else:
            break  # the end, or what decoders pass over
        while length := file.read(1)[:1]:
            if length == b"\0":
                break
            file.seek(length[0], 1)
    if not frames:
        raise ValueError
    return width, height, frames


def _skip_colors(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, 1)


def _webp(file: BinaryIO) -> Size:
    file.seek(12)
    width = height = frames = 0
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        start = file.read(min(length, 10))
        wide, high = _webp_size(head[:4], start)
        width, height = max(width, wide), max(height, high)
        frames += head[:4] == b"ANMF"
        file.seek(length - len(start) + (length & 1), 1)
    if not width:
        raise ValueError
    return width, height, frames


def _webp_size(kind: bytes, start: bytes) -> tuple[int, int]:
    def number(at: int, size: int) -> int:
        return int.from_bytes(start[at : at + size], "little")

    if kind == b"VP8X":
        return number(4, 3) + 1, number(7, 3) + 1
    if kind == b"VP8L" and start[:1] == b"\x2f":
        bits = number(1, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and start[3:6] == b"\x9d\x01\x2a":
        return number(6, 2) & 0x3FFF, number(8, 2) & 0x3FFF
    return 0, 0


_READERS: dict[str, Callable[[BinaryIO], Size]] = {
    "png": _png,
    "jpeg": _jpeg,
    "gif": _gif,
    "webp": _webp,
    "avif": read_avif,
}
