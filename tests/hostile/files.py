"""A folder of hostile files, built here: what each is, its bytes, and whether a careful server may take it."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import PIL.Image

from gallery.tests.uploads import encoded, scene

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "AVIF": "avif"}
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Hostile:
    """`taken` None: either is fine, as long as nothing breaks."""

    name: str
    data: bytes
    taken: bool | None = False


def hostile_files() -> list[Hostile]:
    return [*_broken(), *_bombs(), *_animations(), *_fat(), *_disguises(), *_names()]


# Pieces ---------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, pixels: bytes | None = None) -> bytes:
    """One bit a pixel, all black unless `pixels` are given."""
    rows = zlib.compress(bytes((width // 8 + 1) * height) if pixels is None else pixels, 9)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return PNG + head + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + size


def gif(width: int, height: int, frames: int, frame: tuple[int, int]) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    one = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00"
    return head + one * frames + b"\x3b"


def avif_of(size: tuple[int, int], real: PIL.Image.Image) -> bytes:
    """A sound AVIF whose description says that it has another size."""
    data = bytearray(encoded(real, "AVIF", speed=10, quality=20))
    at = data.find(b"ispe")
    data[at + 8 : at + 16] = struct.pack(">II", *size)
    return bytes(data)


# Kinds ----------------------------------------------------------------------------------------------------------------


def _broken() -> Iterator[Hostile]:
    yield Hostile("empty.png", b"")
    for image_format, ending in FORMATS.items():
        whole = encoded(scene(3), image_format)
        yield Hostile(f"start.{ending}", whole[:12])
        for share in (0.1, 0.5, 0.9):
            yield Hostile(f"cut-{share}.{ending}", whole[: int(len(whole) * share)], None if share == 0.9 else False)
        yield Hostile(f"zeros.{ending}", whole[:16] + bytes(5000))
        scrambled = bytearray(whole)
        scrambled[len(whole) // 2 :: 7] = b"\xff" * len(scrambled[len(whole) // 2 :: 7])
        yield Hostile(f"scrambled.{ending}", bytes(scrambled), None)


def _bombs() -> Iterator[Hostile]:
    yield Hostile("bomb-1e8.png", png(10_000, 10_000))
    yield Hostile("bomb-1e10.png", png(100_000, 100_000, pixels=b"\0" * 1000))
    yield Hostile(
        "two-heads.png", png(64, 64, chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0))), None
    )
    yield Hostile("too-much.png", png(8, 8, pixels=bytes(200_000_000)), None)
    yield Hostile("bomb-1e8.gif", gif(10_000, 10_000, 1, (10_000, 10_000)))
    yield Hostile("bomb-4e9.gif", gif(1, 1, 1, (65_535, 65_535)))
    yield Hostile("bomb-1e8.webp", riff((b"VP8L", b"\x2f" + struct.pack("<I", 11_999 | 11_999 << 14) + bytes(8))))
    yield Hostile("bomb-1e10.webp", riff(vp8x(100_000, 100_000), (b"VP8L", b"\x2f" + bytes(12))))
    yield Hostile("hidden-1e8.webp", riff(vp8x(8, 8), (b"VP8L", b"\x2f" + struct.pack("<I", 11_999 | 11_999 << 14))))
    small = scene(3, (64, 64))
    yield Hostile("bomb-1e8.avif", avif_of((10_000, 10_000), small))
    yield Hostile("bomb-1e10.avif", avif_of((100_000, 100_000), small))
    yield Hostile("lying.avif", avif_of((64, 64), PIL.Image.new("L", (8_000, 6_500))), None)
    jpeg = bytearray(encoded(small, "JPEG"))
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    yield Hostile("bomb-4e9.jpg", bytes(jpeg))
    yield Hostile("scans.jpg", _many_scans(), None)


def _many_scans() -> bytes:
    """A progressive JPEG whose last scan comes a thousand times: each costs a pass over all pixels."""
    data = encoded(PIL.Image.new("L", (3000, 3000), 77), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * 1000 + data[-2:]


def _animations() -> Iterator[Hostile]:
    yield Hostile("frames.gif", gif(2, 2, 100_000, (2, 2)))
    yield Hostile("frames-by-pixels.gif", gif(6_000, 6_000, 900, (1, 1)))
    frame = (b"ANMF", bytes(16) + b"VP8L" + struct.pack("<I", 6) + b"\x2f" + bytes(5))
    yield Hostile("frames.webp", riff(vp8x(2, 2, 2), (b"ANIM", bytes(6)), *[frame] * 50_000))
    yield Hostile("frames.png", png(64, 64, chunk(b"acTL", struct.pack(">II", 4_000_000_000, 0))))


def _fat() -> Iterator[Hostile]:
    zeros = zlib.compress(bytes(100_000_000), 9)
    yield Hostile("icc.png", png(64, 64, chunk(b"iCCP", b"x\0\0" + zeros)), None)
    yield Hostile("text.png", png(64, 64, chunk(b"zTXt", b"parameters\0\0" + zeros)), None)
    yield Hostile("texts.png", png(64, 64, *[chunk(b"tEXt", b"parameters\0" + b"x" * 900)] * 9_000), None)
    yield Hostile("chunks.png", png(64, 64, *[chunk(b"tEXt", b"a\0b")] * 50_000), None)
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    yield Hostile("exif-loop.jpg", encoded(scene(4), "JPEG", exif=loop[6:]), None)
    yield Hostile("exif-noise.jpg", encoded(scene(4), "JPEG", exif=b"II*\0\x08\0\0\0" + b"\xff" * 60_000), None)
    yield Hostile("icc.jpg", encoded(scene(4), "JPEG", icc_profile=b"\xff" * 10_000_000), None)
    yield Hostile("exif.webp", encoded(scene(4), "WEBP", exif=b"Exif\0\0" + b"\xfe" * 10_000_000), None)
    yield Hostile("deep.png", png(64, 64, chunk(b"tEXt", b"prompt\0" + b'{"a":' * 200_000)), None)


def _disguises() -> Iterator[Hostile]:
    picture = encoded(scene(6), "PNG")
    yield Hostile("really-png.jpg", picture, True)
    yield Hostile("really-jpeg.gif", encoded(scene(6), "JPEG"), True)
    yield Hostile("drawing.png", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><rect width="9"/></svg>')
    yield Hostile("page.png", b"<!DOCTYPE html><script>alert(1)</script>")
    yield Hostile("paper.png", b"%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj")
    yield Hostile("postscript.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for image_format in ("BMP", "TIFF", "ICO", "PPM"):
        yield Hostile(f"{image_format.lower()}.png", encoded(scene(6), image_format))
    yield Hostile("script.gif", b"GIF89a/*\xff\xff*/=1;alert(1);//" + bytes(400))
    yield Hostile("archive.png", encoded(scene(7)) + b"PK\x03\x04" + bytes(2000), True)
    yield Hostile(
        "page.jpg", encoded(scene(7), "JPEG", comment=b"<script>alert(1)</script><?php system('id') ?>"), True
    )
    buffer = io.BytesIO()
    scene(8).save(buffer, "PNG")
    yield Hostile("both.png", b"<svg/>" + buffer.getvalue())


def _names() -> Iterator[Hostile]:
    data = [encoded(scene(number)) for number in range(10, 18)]
    names = ["nul\0.png", "../../../../etc/passwd.png", "..\\..\\x.png", "n" * 4000 + ".png", "x." + "e" * 4000]
    names += ["\u202egnp.exe", "CON.png", "\ud800.png"]
    yield from (
        # Django takes no part whose head is longer than a kilobyte, and drops names without a printable character.
        Hostile(name, bytes_, None if len(name) > 1000 or "\ud800" in name else True)
        for name, bytes_ in zip(names, data, strict=True)
    )
