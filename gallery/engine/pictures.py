"""Opens pictures that people brought, within limits, and brings them to size."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from gallery.engine.errors import EngineError

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
MAX_PIXELS = 40_000_000


def open_picture(path: Path) -> Image.Image:
    """The first frame, upright by its EXIF orientation, as RGB or RGBA. Raises EngineError ("invalid")."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                return _upright(picture, path.name)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise EngineError("invalid", f"{path.name} can't be read as a picture; choose another one.") from error


def _upright(picture: Image.Image, name: str) -> Image.Image:
    if picture.width * picture.height > MAX_PIXELS:
        raise EngineError("invalid", f"{name} has more than 40 megapixels; choose a smaller picture.")
    upright = ImageOps.exif_transpose(picture)
    return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def fill(picture: Image.Image, width: int, height: int) -> Image.Image:
    """RGB of exactly that size: scaled to cover it, cut at the middle, transparent parts white."""
    return ImageOps.fit(flatten(picture), (width, height), Image.Resampling.LANCZOS)


def flatten(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    ground = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(ground, picture).convert("RGB")
