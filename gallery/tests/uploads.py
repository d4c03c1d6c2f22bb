"""Files for tests of the intake, built here: nothing of them is kept in the repository."""

import io
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
from django.core.files.uploadedfile import SimpleUploadedFile

INFOTEXT = (
    "a lighthouse in fog, <lora:ink:0.7>\nNegative prompt: people\n"
    "Steps: 24, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 77, Size: 512x768, "
    'Model hash: aaaaaaaaaa, Model: tiny, Lora hashes: "ink: 0123456789ab"'
)


def scene(seed: int = 1, size: tuple[int, int] = (160, 120)) -> PIL.Image.Image:
    """Something with light and shade, other for each seed."""
    grain = PIL.Image.effect_mandelbrot((40, 30), (-2 + seed / 7, -1.2, 0.6 + seed / 9, 1.2), 30 + seed)
    return PIL.Image.merge("RGB", (grain, grain.rotate(180), grain.rotate(90, expand=False))).resize(size)


def encoded(picture: PIL.Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def with_infotext(picture: PIL.Image.Image, text: str = INFOTEXT) -> bytes:
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    return encoded(picture, pnginfo=info)


def upload(data: bytes, name: str = "picture.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "application/octet-stream")
