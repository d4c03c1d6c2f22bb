from gallery.metadata.a1111 import a1111_text
from gallery.metadata.parameters import GenerationParameters, LoraUse, Source
from gallery.metadata.reader import FoundMetadata, read_metadata
from gallery.metadata.writers import document_text, exif_bytes, png_chunks, xmp_packet

__all__ = [
    "FoundMetadata",
    "GenerationParameters",
    "LoraUse",
    "Source",
    "a1111_text",
    "document_text",
    "exif_bytes",
    "png_chunks",
    "read_metadata",
    "xmp_packet",
]
