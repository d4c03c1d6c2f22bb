"""One decode, and everything that is kept of it."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import PIL.Image
import PIL.ImageFilter
import PIL.ImageStat

from gallery.decoder.colors import on_white, to_srgb
from gallery.decoder.headers import read_header
from gallery.decoder.thumbhash import thumbhash

ORIENTATION = 0x0112  # the EXIF tag
SHARPNESS_SIDE = 600  # where sharpness is measured, so that pictures of all sizes compare
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_EDGES = PIL.ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128)  # Laplace


@dataclass(frozen=True)
class Recipe:
    """How a rendition is made: within a square of `size` px, never enlarged."""

    size: int
    format: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """What one decode tells of a picture, with its renditions by size.

    `width` and `height` are those of the upright picture. `sharpness` is the variance of its Laplacian where the longer
    side has 600 px: some 100 and less looks blurred. `thumbhash` is Base64.
    """

    format: str
    width: int
    height: int
    frames: int
    dhash: int
    color: str
    thumbhash: str
    sharpness: float
    renditions: dict[int, bytes]


def measure(file: BinaryIO, recipes: Sequence[Recipe]) -> Facts:
    """Decodes the first frame of the picture in `file` and makes its renditions, which carry no metadata.

    Raises Refused where the header is wrong, and whatever Pillow raises where the pixels are.
    """
    header = read_header(file)
    file.seek(0)
    largest = max(recipe.size for recipe in recipes)
    with PIL.Image.open(file, formats=[header.format.upper()]) as opened:
        size, turn = opened.size, _orientation(opened)
        if header.format == "jpeg":
            opened.draft(None, (2 * largest, 2 * largest))  # decodes all of it, but to fewer pixels
        opened.load()
        profile = opened.info.get("icc_profile")
        picture = to_srgb(_reduced(_plain(opened), 2 * largest), profile)
    if turn in _TURNS:
        picture = picture.transpose(_TURNS[turn])
    width, height = reversed(size) if turn in _SIDEWAYS else size
    ladder = _ladder(picture, (width, height), sorted({*(recipe.size for recipe in recipes), SHARPNESS_SIDE}))
    opaque = {side: on_white(step) for side, step in ladder.items()}
    smallest = opaque[min(opaque)]
    return Facts(
        format=header.format,
        width=width,
        height=height,
        frames=header.frames,
        dhash=difference_hash(smallest),
        color=_mean_color(smallest),
        thumbhash=base64.b64encode(thumbhash(ladder[min(ladder)])).decode(),
        sharpness=_sharpness(opaque[SHARPNESS_SIDE]),
        renditions=_render(ladder, recipes),
    )


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """The size within a square of `side`, never enlarged."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def difference_hash(picture: PIL.Image.Image) -> int:
    """Whether each of 8×8 cells is darker than its right neighbour, as a signed 64-bit number. N. Krawetz, 2013."""
    grey = picture.convert("L").resize((9, 8), PIL.Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (grey[row * 9 + column] < grey[row * 9 + column + 1])
    return bits - (1 << 64) if bits >> 63 else bits


def _orientation(opened: PIL.Image.Image) -> int:
    """A picture whose EXIF can't be read stands as it is."""
    try:
        value = opened.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # whatever the parser stumbles over; the pixels may be sound
        return 1
    return value if isinstance(value, int) else 1


def _plain(opened: PIL.Image.Image) -> PIL.Image.Image:
    """In a mode that can be made smaller: palettes, bits and 16-bit grey are turned into bytes."""
    if opened.mode.startswith("I"):
        return opened.point(lambda value: value * (1 / 256)).convert("L")
    if opened.has_transparency_data:
        return opened.convert("RGBA")
    if opened.mode in ("L", "RGB", "CMYK", "YCbCr", "LAB", "HSV"):
        return opened
    return opened.convert("RGB")


def _reduced(picture: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """Big pictures to a whole fraction of themselves, at least `side`: all further work is on a few megapixels."""
    factor = max(picture.size) // side
    return picture.reduce(factor) if factor > 1 else picture


def _ladder(picture: PIL.Image.Image, size: tuple[int, int], sides: list[int]) -> dict[int, PIL.Image.Image]:
    """The picture at each size, every one made from the next larger; equal ones are one object."""
    ladder = {}
    for side in reversed(sides):
        wanted = fitted(*size, side)
        if wanted != picture.size:
            picture = picture.resize(wanted, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
        ladder[side] = picture
    return ladder


def _render(ladder: dict[int, PIL.Image.Image], recipes: Sequence[Recipe]) -> dict[int, bytes]:
    """Small pictures are the same at several sizes, and are encoded once."""
    made: dict[tuple[int, str, str], bytes] = {}
    renditions = {}
    for recipe in recipes:
        picture = ladder[recipe.size]
        key = (id(picture), recipe.format, repr(recipe.options))
        if key not in made:
            made[key] = _encoded(picture, recipe)
        renditions[recipe.size] = made[key]
    return renditions


def _encoded(picture: PIL.Image.Image, recipe: Recipe) -> bytes:
    """A bare copy: WebP's writer would take profile, EXIF and XMP from where they are remembered."""
    bare = picture.copy()
    bare.info = {}
    buffer = io.BytesIO()
    bare.save(buffer, recipe.format, **recipe.options)
    return buffer.getvalue()


def _mean_color(picture: PIL.Image.Image) -> str:
    red, green, blue = picture.resize((1, 1), PIL.Image.Resampling.BOX).tobytes()
    return f"#{red:02x}{green:02x}{blue:02x}"


def _sharpness(picture: PIL.Image.Image) -> float:
    return round(float(PIL.ImageStat.Stat(picture.convert("L").filter(_EDGES)).var[0]), 1)
