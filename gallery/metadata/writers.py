"""Puts generation parameters into PNG chunks and EXIF."""

import json
import struct
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from PIL.PngImagePlugin import PngInfo

from gallery.metadata.a1111 import VERSION, a1111_text
from gallery.metadata.parameters import GenerationParameters
from gallery.metadata.values import TEXT_LIMIT

DOCUMENT_VERSION = 1
# https://cv.iptc.org/newscodes/digitalsourcetype/ ; the identifier itself is spelled with http.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
EXIF_LIMIT = 65_527  # bytes: a JPEG segment holds 65 533, six of them are "Exif\0\0"
MAKER_NOTE_START = b"imagineer:"

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    Iptc4xmpExt:DigitalSourceType="{source_type}" xmp:CreatorTool="{tool}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def document_text(params: GenerationParameters, document: Mapping[str, Any] | None = None) -> str:
    """The `imagineer` JSON in ASCII: `document` (model, LoRAs, environment …) beside the parameters.

    Raises ValueError when it is longer than a reader accepts.
    """
    text = json.dumps(
        {
            **(document or {}),
            "format": "imagineer",
            "version": DOCUMENT_VERSION,
            "parameters": params.to_json(),
        },
        allow_nan=False,
    )
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"The picture's metadata has {len(text):,} characters; at most {TEXT_LIMIT:,} can be kept.")
    return text


def png_chunks(params: GenerationParameters, document: Mapping[str, Any] | None = None) -> PngInfo:
    """`pnginfo` for Pillow's save: `parameters` (A1111's text), `imagineer` (JSON) and an XMP packet."""
    info = PngInfo()
    text = a1111_text(params)
    if text.isascii():
        info.add_text("parameters", text)
    else:
        # Many programs put UTF-8 into tEXt, which is Latin-1: readers guess there, and never in iTXt.
        info.add_itxt("parameters", text)
    info.add_text("imagineer", document_text(params, document))
    info.add_itxt("XML:com.adobe.xmp", xmp_packet().decode())
    return info


def xmp_packet() -> bytes:
    """States that a trained model made the picture; goes into Pillow's `xmp` when saving JPEG, WebP, AVIF."""
    return _XMP.format(source_type=DIGITAL_SOURCE_TYPE, tool=escape(f"Imagineer {VERSION}")).encode()


def exif_bytes(params: GenerationParameters, document: Mapping[str, Any] | None = None) -> bytes:
    """`exif` for Pillow's save of JPEG, WebP and AVIF: A1111's text as UserComment, the JSON as MakerNote.

    The JSON is left out when both don't fit into a JPEG segment. Raises ValueError when the text alone
    doesn't fit.
    """
    comment = b"UNICODE\0" + a1111_text(params).encode("utf-16-be")
    note = MAKER_NOTE_START + document_text(params, document).encode()
    for exif in (_tiff(comment, note), _tiff(comment, b"")):
        if len(exif) <= EXIF_LIMIT:
            return b"Exif\0\0" + exif
    raise ValueError(f"The prompt is too long for EXIF, which holds {EXIF_LIMIT:,} bytes; export as PNG instead.")


def _tiff(comment: bytes, note: bytes) -> bytes:
    """Big-endian, as A1111 writes it: an IFD with Software and, in its Exif IFD, the two long values."""
    software = f"Imagineer {VERSION}".encode() + b"\0"
    exif_at = 8 + 2 + 2 * 12 + 4 + len(software)
    entries = [(0x927C, note), (0x9286, comment)] if note else [(0x9286, comment)]
    main = struct.pack(">H", 2)
    main += struct.pack(">HHII", 0x0131, 2, len(software), exif_at - len(software))
    main += struct.pack(">HHII", 0x8769, 4, 1, exif_at) + bytes(4)
    return b"MM\0*\0\0\0\x08" + main + software + _exif_ifd(entries, exif_at)


def _exif_ifd(entries: list[tuple[int, bytes]], at: int) -> bytes:
    data_at = at + 2 + 12 * len(entries) + 4
    table, data = struct.pack(">H", len(entries)), b""
    for tag, value in entries:
        table += struct.pack(">HHII", tag, 7, len(value), data_at + len(data))
        data += value
    return table + bytes(4) + data
