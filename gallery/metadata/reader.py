"""Reads generation parameters out of a picture's file, whichever program wrote them."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from gallery.metadata.comfyui import parse_comfyui
from gallery.metadata.containers import read_gif, read_jpeg, read_webp
from gallery.metadata.fields import Fields
from gallery.metadata.infotext import parse_infotext
from gallery.metadata.isobmff import read_isobmff
from gallery.metadata.json_programs import parse_fooocus, parse_invokeai, parse_invokeai_2, parse_swarmui
from gallery.metadata.parameters import GenerationParameters, Source
from gallery.metadata.png import SIGNATURE, read_png
from gallery.metadata.values import TEXT_LIMIT, as_text, load_object
from gallery.metadata.writers import MAKER_NOTE_START

_TEXT_KEYS = ("parameters", "UserComment", "Comment", "ImageDescription")


@dataclass(frozen=True, slots=True)
class FoundMetadata:
    """`raw` holds the file's texts as found, `document` Imagineer's own JSON where it is there."""

    source: Source
    parameters: GenerationParameters
    raw: dict[str, str]
    document: dict[str, Any] | None = None


def read_metadata(path_or_bytes: str | Path | bytes) -> FoundMetadata | None:
    """None when the file has no generation parameters, or is no PNG, JPEG, WebP, AVIF or GIF.

    Never decodes pixels, holds a few MB at most, and takes hostile content for no content. Raises OSError
    when the file can't be read.
    """
    if isinstance(path_or_bytes, bytes):
        return interpret(read_fields(io.BytesIO(path_or_bytes)))
    with Path(path_or_bytes).open("rb") as file:
        return interpret(read_fields(file))


def read_fields(file: BinaryIO) -> dict[str, str]:
    """The texts of a picture's file that may hold parameters, by the names their containers give them."""
    fields = Fields()
    read = _container(file.read(16))
    if read:
        file.seek(0)
        read(file, fields)
    return fields.found


def _container(start: bytes) -> Callable[[BinaryIO, Fields], None] | None:
    if start.startswith(SIGNATURE):
        return read_png
    if start.startswith(b"\xff\xd8\xff"):
        return read_jpeg
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return read_webp
    if start.startswith((b"GIF87a", b"GIF89a")):
        return read_gif
    return read_isobmff if start[4:8] == b"ftyp" else None


def interpret(raw: dict[str, str]) -> FoundMetadata | None:
    for read in (_imagineer, _invokeai, _text, _comfyui):
        found = read(raw)
        if found:
            return found
    return None


def _imagineer(raw: dict[str, str]) -> FoundMetadata | None:
    note = raw.get("MakerNote", "")
    start = MAKER_NOTE_START.decode()
    text = raw.get("imagineer") or (note.removeprefix(start) if note.startswith(start) else "")
    document = load_object(text, TEXT_LIMIT)
    stored = document.get("parameters") if document and document.get("format") == "imagineer" else None
    if not isinstance(stored, dict):
        return None
    parameters = GenerationParameters.from_json(stored)
    return FoundMetadata("imagineer", replace(parameters, source="imagineer"), raw, document)


def _invokeai(raw: dict[str, str]) -> FoundMetadata | None:
    for key, parse in (("invokeai_metadata", parse_invokeai), ("sd-metadata", parse_invokeai_2)):
        data = load_object(raw.get(key, ""))
        if data:
            return FoundMetadata("invokeai", parse(data), raw)
    return None


def _text(raw: dict[str, str]) -> FoundMetadata | None:
    for key in _TEXT_KEYS:
        text = raw.get(key, "")
        found = _json_text(text) if text.lstrip()[:1] == "{" else parse_infotext(text)
        if found:
            found = replace(found, source=_program(raw, found))
            return FoundMetadata(found.source, found, raw)
    return None


def _json_text(text: str) -> GenerationParameters | None:
    data = load_object(text, TEXT_LIMIT)
    if not data:
        return None
    if "sui_image_params" in data:
        return parse_swarmui(data)
    is_fooocus = "base_model" in data or as_text(data.get("version")).startswith("Fooocus")
    return parse_fooocus(data) if is_fooocus else None


def _program(raw: dict[str, str], found: GenerationParameters) -> Source:
    """Several programs write A1111's text; what else the file holds tells them apart."""
    if found.source != "a1111":
        return found.source
    if "fooocus_scheme" in raw or raw.get("Software", "").startswith("Fooocus"):
        return "fooocus"
    return "comfyui" if parse_comfyui(raw.get("prompt", "")) else "a1111"


def _comfyui(raw: dict[str, str]) -> FoundMetadata | None:
    found = parse_comfyui(raw.get("prompt", ""), raw.get("workflow", ""))
    return FoundMetadata("comfyui", found, raw) if found else None
