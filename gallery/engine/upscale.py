"""Enlarges pictures two or four times with Real-ESRGAN animevideov3 on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from PIL import Image, ImageFilter

from gallery.engine.errors import EngineError
from gallery.engine.pictures import flatten

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "upscale"
TILE = 512  # pixels a side, before enlarging: 300 MB of work memory
OVERLAP = 24  # pixels on each side: the net sees 19 pixels far (18 convolutions of 3x3 and the bilinear base)
MAX_OUTPUT = 160_000_000
EDGE = 3  # pixels of blur around what is visible

OnTile = Callable[[int, int], None]
Box = tuple[int, int, int, int]


class Upscaler:
    """Keeps the nets it has loaded: 1.2 MB each."""

    def __init__(self, threads: int, weights: Path = WEIGHTS) -> None:
        self.threads = threads
        self.weights = weights
        self._nets: dict[int, Any] = {}

    def enlarge(self, picture: Image.Image, factor: int, on_tile: OnTile = lambda done, total: None) -> Image.Image:
        """RGB or RGBA at `factor` (2 or 4) times the size.

        Raises EngineError when the result would be too large.
        """
        if picture.width * picture.height * factor**2 > MAX_OUTPUT:
            raise EngineError(
                "invalid",
                f"{picture.width}x{picture.height} enlarged {factor} times is more than "
                f"{MAX_OUTPUT // 10**6} megapixels; choose factor 2 or a smaller picture.",
            )
        colours = self._colours(np.asarray(spread_colours(picture)), factor, on_tile)
        result = Image.fromarray(colours)
        if picture.mode == "RGBA":
            result.putalpha(picture.getchannel("A").resize(result.size, Image.Resampling.BICUBIC))
        return result

    def _colours(self, pixels: np.ndarray, factor: int, on_tile: OnTile) -> np.ndarray:
        height, width = pixels.shape[:2]
        result = np.empty((height * factor, width * factor, 3), np.uint8)
        boxes = list(_tiles(width, height))
        for done, (left, top, right, bottom) in enumerate(boxes):
            on_tile(done, len(boxes))
            outer = _grow((left, top, right, bottom), width, height)
            tile = self._run(np.ascontiguousarray(pixels[outer[1] : outer[3], outer[0] : outer[2]]), factor)
            x, y = (left - outer[0]) * factor, (top - outer[1]) * factor
            inner = tile[y : y + (bottom - top) * factor, x : x + (right - left) * factor]
            result[top * factor : bottom * factor, left * factor : right * factor] = inner
        return result

    def _run(self, pixels: np.ndarray, factor: int) -> np.ndarray:
        values = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / 255
        extractor = self._net(factor).create_extractor()
        extractor.input("data", ncnn.Mat(values))
        failed, output = extractor.extract("output")
        if failed:
            raise MemoryError
        return np.clip(np.array(output) * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)

    def _net(self, factor: int) -> Any:
        if factor not in self._nets:
            self._nets[factor] = self._load(self.weights / f"realesr-animevideov3-x{factor}")
        return self._nets[factor]

    def _load(self, stem: Path) -> Any:
        net = ncnn.Net()
        net.opt.num_threads = self.threads
        # Half precision differs between processors; with float32 the same machine always gives the
        # same bytes.
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        if net.load_param(f"{stem}.param") or net.load_model(f"{stem}.bin"):
            raise EngineError("model", f"The enlarging net {stem.name} is missing or damaged; restore models/upscale.")
        return net


def spread_colours(picture: Image.Image) -> Image.Image:
    """RGB in which the colours of visible parts run on under the transparent ones, so that edges get no halo."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    around = picture.convert("RGBa").filter(ImageFilter.GaussianBlur(EDGE)).convert("RGBA")
    around.putalpha(around.getchannel("A").point(lambda alpha: 255 if alpha else 0))
    return flatten(Image.alpha_composite(around, picture))


def _tiles(width: int, height: int) -> Iterator[Box]:
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield left, top, min(left + TILE, width), min(top + TILE, height)


def _grow(box: Box, width: int, height: int) -> Box:
    left, top, right, bottom = box
    return (
        max(0, left - OVERLAP),
        max(0, top - OVERLAP),
        min(width, right + OVERLAP),
        min(height, bottom + OVERLAP),
    )
