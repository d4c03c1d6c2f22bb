"""Pictures of the training set: each thing in each style, on white and on coloured grounds, slightly moved."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.starter.artwork import RENDER_PX, Artwork, Pixels
from training.starter.captions import BACKGROUNDS, Subject, write_caption
from training.starter.things import STYLES, Thing

PICTURE_PX = 64
MARGIN_PX = 3
"""Free border around a thing that stands still, of 64 px: artwork that touches the edge looks cut off."""


COPIES = 8
"""Pictures of each thing and style: half on white, half on colours."""
CAPTIONS = 2
SEED = 1


@dataclass(frozen=True)
class Placement:
    """How a thing sits in its picture: `scale` of the free area, turn in degrees, shift in pixels of 64."""

    scale: float = 1.0
    degrees: float = 0.0
    right: float = 0.0
    down: float = 0.0


@dataclass(frozen=True)
class Sample:
    thing_index: int
    subject: Subject
    captions: tuple[str, ...]
    placement: Placement


def centred(rgba: Pixels) -> Pixels:
    """Crops to what is visible and puts it in the middle of a square, so that every set has the same margin."""
    ys, xs = np.nonzero(rgba[..., 3] > 8)
    if not len(ys):
        return rgba
    crop = rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    side = max(crop.shape[:2])
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
    square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return np.asarray(Image.fromarray(square).resize((RENDER_PX, RENDER_PX), Image.Resampling.LANCZOS))


def place(rgba: Pixels, background: tuple[int, int, int], placement: Placement) -> Pixels:
    """(RENDER_PX, RENDER_PX, 4) straight alpha to (64, 64, 3) on `background`."""
    side = round((PICTURE_PX - 2 * MARGIN_PX) * placement.scale * 2)
    picture = Image.fromarray(rgba).convert("RGBa").resize((side, side), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBa", (PICTURE_PX * 2, PICTURE_PX * 2))
    offset = PICTURE_PX - side / 2
    canvas.paste(picture, (round(offset + placement.right * 2), round(offset + placement.down * 2)))
    if placement.degrees:
        canvas = canvas.rotate(placement.degrees, Image.Resampling.BICUBIC)
    small = canvas.resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BOX).convert("RGBA")
    ground = Image.new("RGBA", small.size, (*background, 255))
    return np.asarray(Image.alpha_composite(ground, small).convert("RGB"))


def plan_samples(
    things: Sequence[Thing], *, copies: int = COPIES, captions: int = CAPTIONS, seed: int = SEED
) -> list[Sample]:
    """`copies` pictures of every thing and style. The first stands still on white; half of the rest have a colour."""
    draw = random.Random(seed)
    colours = [name for name in BACKGROUNDS if name != "white"]
    samples = []
    for index, thing in enumerate(things):
        for style in STYLES:
            order = draw.sample(colours, len(colours))
            for copy in range(copies):
                background = "white" if is_plain(copy) else order[copy % len(order)]
                subject = Subject(thing, style, background)
                words = tuple(write_caption(subject, draw) for _ in range(captions))
                samples.append(Sample(index, subject, words, _placement(draw) if copy else Placement()))
    return samples


def is_plain(copy: int) -> bool:
    """Whether the picture of this number stands on white."""
    return copy % 2 == 0


def seen_backgrounds(samples: Sequence[Sample]) -> dict[tuple[str, str], set[str]]:
    """The grounds that each thing (by code) and style is shown on."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in samples:
        seen[sample.subject.thing.code, sample.subject.style].add(sample.subject.background)
    return dict(seen)


def _placement(draw: random.Random) -> Placement:
    scale = draw.uniform(0.9, 1.03)
    return Placement(scale, draw.uniform(-4, 4), draw.uniform(-1.5, 1.5), draw.uniform(-1.5, 1.5))


def render_samples(samples: Sequence[Sample], artworks: Mapping[str, Artwork]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields (64, 64, 3) uint8 pictures in the order of `samples`."""
    cache: tuple[tuple[str, str], Pixels] | None = None
    for sample in samples:
        key = (sample.subject.style, sample.subject.thing.code)
        if cache is None or cache[0] != key:
            cache = key, centred(artworks[key[0]].draw(key[1]))
        yield place(cache[1], BACKGROUNDS[sample.subject.background], sample.placement)
