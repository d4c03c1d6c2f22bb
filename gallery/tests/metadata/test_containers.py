"""Where the texts may be: chunks, segments, EXIF in both byte orders, items."""

import struct

import pytest
from PIL import Image, PngImagePlugin

from gallery.metadata import read_metadata
from gallery.tests.metadata import builders as b

TEXT = "a cat é\nSteps: 20, Sampler: Euler, Seed: 1"
WIDE = "猫 😺\nSteps: 20, Sampler: Euler, Seed: 1"


def prompt_of(data):
    found = read_metadata(data)
    return found and found.parameters.prompt


@pytest.mark.parametrize(
    "chunk",
    [
        b.text("parameters", TEXT),
        b.ztext("parameters", TEXT),
        b.itext("parameters", TEXT),
        b.itext("parameters", TEXT, compressed=True),
        b.chunk(b"tEXt", b"parameters\0" + TEXT.encode()),
        b.chunk(b"eXIf", b.exif(inner=((0x9286, b"UNICODE\0" + TEXT.encode("utf-16-be")),))),
    ],
)
def test_png_chunks(chunk):
    assert prompt_of(b.png(chunk)) == "a cat é"
    assert prompt_of(b.png(after=(chunk,))) == "a cat é"


def test_pillow_s_own_png(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", WIDE)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png", pnginfo=info)
    assert prompt_of(tmp_path / "x.png") == "猫 😺"
    assert prompt_of(str(tmp_path / "x.png")) == "猫 😺"


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("comment", "prompt"),
    [
        (b"UNICODE\0" + TEXT.encode("utf-16-be"), "a cat é"),
        (b"UNICODE\0" + TEXT.encode("utf-16-le"), "a cat é"),
        (b"UNICODE\0" + WIDE.encode("utf-16"), "猫 😺"),
        (b"UNICODE\0" + WIDE.encode("utf-16-be"), "猫 😺"),
        (b"UNICODE\0" + WIDE.encode("utf-16-le"), "猫 😺"),
        (b"ASCII\0\0\0" + TEXT.encode(), "a cat é"),
        (bytes(8) + TEXT.encode("latin-1"), "a cat é"),
        (b"JIS\0\0\0\0\0" + WIDE.replace(" 😺", "").encode("iso2022_jp"), "猫"),
        (TEXT.encode() + b"\0", "a cat é"),
    ],
)
def test_exif_comments(form, order, comment, prompt):
    assert prompt_of(b.with_exif(form, b.exif(order, inner=((0x9286, comment),)))) == prompt


def test_jpeg_and_gif_comments():
    assert prompt_of(b.picture("JPEG", comment=TEXT)) == "a cat é"
    long = "a cat " + "very " * 200 + "big\nSteps: 20, Sampler: Euler, Seed: 1"
    assert prompt_of(b.picture("GIF", comment=long.encode())) == long.split("\n", maxsplit=1)[0]


def test_a_gif_s_comment_behind_its_frames():
    data = b.picture("GIF")
    comment = b"!\xfe" + bytes([len(TEXT.encode())]) + TEXT.encode() + b"\0"
    assert prompt_of(data[:-1] + comment + b";") == "a cat é"


def test_fill_bytes_before_a_jpeg_marker():
    data = b.picture("JPEG", comment=TEXT)
    at = data.index(b"\xff\xfe")
    assert prompt_of(data[:at] + b"\xff\xff" + data[at:]) == "a cat é"


def box(kind, data):
    return struct.pack(">I", 8 + len(data)) + kind + data


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_avif_item_inside_the_meta_box(version):
    """Construction method 1: the item lies in `idat`, which libavif does not write but others do."""
    payload = bytes(4) + b.exif(inner=((0x9286, b"ASCII\0\0\0" + TEXT.encode()),))
    wide = ">I" if version == 2 else ">H"
    entry = b"\0\2\0\0" + struct.pack(wide, 7) + b"\0\0" + b"Exif\0"
    if version == 2:
        entry = b"\3\0\0\0" + struct.pack(wide, 7) + b"\0\0" + b"Exif\0"
    else:
        entry = b"\2\0\0\0" + struct.pack(wide, 7) + b"\0\0" + b"Exif\0"
    iinf = box(b"iinf", bytes(4) + b"\0\1" + box(b"infe", entry))
    method = struct.pack(">H", 1) if version else b""
    place = struct.pack(wide, 7) + method + bytes(2) + b"\0\1" + struct.pack(">II", 0, len(payload))
    iloc = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0]) + struct.pack(wide, 1) + place)
    meta = box(b"meta", bytes(4) + iinf + iloc + box(b"idat", payload))
    data = box(b"ftyp", b"avif\0\0\0\0avifmif1") + meta
    assert prompt_of(data) == ("a cat é" if version else None)


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"<svg/>"]
)
def test_a_file_of_nothing_has_no_metadata(data):
    assert read_metadata(data) is None


def test_a_photograph_s_exif_is_left_alone():
    """Camera, place and a maker's note are never read into `raw`."""
    tags = ((0x010F, b"NIKON\0"), (0x0110, b"D850\0"), (0x8825, b"\0\0\0\x08"))
    inner = ((0x927C, b"Nikon\0\2\x10secret"), (0x9286, b"ASCII\0\0\0" + TEXT.encode()))
    found = b.found_in(b.with_exif("JPEG", b.exif(main=tags, inner=inner)))
    assert found.raw == {"UserComment": TEXT}


def test_no_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_metadata(tmp_path / "none.png")
