"""The few texts of EXIF in which programs keep generation parameters; no place, camera or maker data."""

import struct
from collections.abc import Iterator

from gallery.metadata.fields import Fields, decode

ENTRY_COUNT = 256
_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_MAKER_NOTE = 0x927C
_NAMES = {0x010E: "ImageDescription", 0x0131: "Software"}
# ComfyUI puts "prompt:{…}" into Model and "workflow:{…}" and further ones into the tags before it.
_COMFYUI_TAGS = range(0x0100, 0x0111)
_TYPE_SIZES = {1: 1, 2: 1, 4: 4, 7: 1}
_TEXT_TYPES = (1, 2, 7)


def read_exif(data: bytes, fields: Fields) -> None:
    """`data` is a TIFF structure, with or without "Exif" and two zeros before it."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return
    (first,) = struct.unpack(order + "I", data[4:8])
    for tag, value in _entries(data, first, order):
        if tag == _EXIF_IFD and len(value) == 4:
            (second,) = struct.unpack(order + "I", value)
            for inner_tag, inner in _entries(data, second, order):
                _add(inner_tag, inner, order, fields)
        else:
            _add(tag, value, order, fields)


def _entries(data: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """(tag, value) of one directory; an entry that leads outside the data is skipped."""
    if at + 2 > len(data):
        return
    (count,) = struct.unpack_from(order + "H", data, at)
    for number in range(min(count, ENTRY_COUNT)):
        entry = at + 2 + 12 * number
        if entry + 12 > len(data):
            return
        tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
        size = length * _TYPE_SIZES.get(kind, 0)
        place = entry + 8 if size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
        if size > 0 and place + size <= len(data):
            yield tag, data[place : place + size]


def _add(tag: int, value: bytes, order: str, fields: Fields) -> None:
    if tag == _USER_COMMENT:
        fields.add("UserComment", lambda: _user_comment(value, order))
    elif tag == _MAKER_NOTE:
        fields.add("MakerNote", lambda: _printable(value))
    elif tag in _NAMES:
        fields.add(_NAMES[tag], lambda: decode(value.rstrip(b"\0")))
    if tag in _COMFYUI_TAGS:
        name, colon, text = value.rstrip(b"\0").partition(b":")
        if colon and text.lstrip()[:1] == b"{":
            fields.add(name.decode("latin-1").lower(), lambda: decode(text))


def _printable(value: bytes) -> str:
    """Programs' notes are texts, cameras' are binary."""
    text = decode(value.rstrip(b"\0"))
    return text if text.isprintable() else ""


def _user_comment(value: bytes, order: str) -> str:
    charset, text = value[:8], value[8:]
    if charset == b"UNICODE\0":
        return _utf16(text, order)
    if charset == b"JIS\0\0\0\0\0":
        return text.decode("iso2022_jp", "replace").rstrip("\0")
    if charset in (b"ASCII\0\0\0", bytes(8)):
        return decode(text.rstrip(b"\0"))
    return decode(value.rstrip(b"\0"))  # Fooocus writes the text without a charset


def _utf16(data: bytes, order: str) -> str:
    """piexif writes big-endian whatever the file's byte order, so the zeros of Latin letters decide."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").rstrip("\0")
    data = data.removesuffix(b"\0\0")
    high, low = data[0::2].count(0), data[1::2].count(0)
    if high != low:
        order = ">" if high > low else "<"
    return data.decode("utf-16-be" if order == ">" else "utf-16-le", "replace")
