"""Artwork of one style: code points in, RGBA pictures out."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.starter.things import plain_code

RENDER_PX = 128
"""Pictures are rendered larger than they are used, so that small turns and shifts stay sharp."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Artwork:
    codes: set[str]
    draw: Callable[[str], Pixels]
    """Code to (RENDER_PX, RENDER_PX, 4) uint8, straight alpha."""


def iconify_artwork(folder: Path) -> Artwork:
    """An `@iconify-json` set: SVG bodies in icons.json, code points in chars.json."""
    collection = json.loads((folder / "icons.json").read_text())
    names = {plain_code(code): name for code, name in json.loads((folder / "chars.json").read_text()).items()}
    icons, aliases = collection["icons"], collection.get("aliases", {})
    default = collection.get("width", 16), collection.get("height", 16)

    def draw(code: str) -> Pixels:
        name = names[code]
        icon = icons[name] if name in icons else icons[aliases[name]["parent"]]
        width, height = icon.get("width", default[0]), icon.get("height", default[1])
        return render_svg(
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        )

    known = {code for code, name in names.items() if name in icons or name in aliases}
    return Artwork(known, draw)


def render_svg(svg: str) -> Pixels:
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=RENDER_PX, height=RENDER_PX)
    return _square(Image.open(io.BytesIO(bytes(png))))


def bitmap_artwork(folder: Path) -> Artwork:
    """A folder of pictures that are named by their code points: `1f431.webp`."""
    files = {plain_code(path.stem): path for path in sorted(folder.iterdir()) if path.suffix in {".webp", ".png"}}

    def draw(code: str) -> Pixels:
        with Image.open(files[code]) as picture:
            return _square(picture)

    return Artwork(set(files), draw)


def _square(picture: Image.Image) -> Pixels:
    size = (RENDER_PX, RENDER_PX)
    rgba = picture.convert("RGBA")
    return np.asarray(rgba if rgba.size == size else rgba.resize(size, Image.Resampling.LANCZOS))
