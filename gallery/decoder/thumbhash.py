"""A picture in some 25 bytes, for the time until it is there: ThumbHash (Evan Wallace, 2023), the encoder.

The lowest terms of a cosine transform of lightness, two colour differences and, where there is any, opacity, with four
bits each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import PIL.Image

SIDE = 32  # pixels that are looked at, along the longer side: many times what seven waves need


@dataclass(frozen=True)
class _Channel:
    """`waves` without the constant one, as shares of `scale` in 0..1."""

    constant: float
    waves: list[float]
    scale: float


def thumbhash(picture: PIL.Image.Image) -> bytes:
    """Of an RGB or RGBA picture."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), PIL.Image.Resampling.BOX)
    width, height = small.size
    red, green, blue, alpha = _planes(small)
    has_alpha = min(alpha) < 1
    longest, most = max(width, height), 5 if has_alpha else 7
    across, down = (max(1, round(most * side / longest)) for side in (width, height))

    def transform(values: Sequence[float], columns: int, rows: int) -> _Channel:
        return _transform(values, width, height, columns, rows)

    lightness = transform([sum(rgb) / 3 for rgb in zip(red, green, blue, strict=True)], max(3, across), max(3, down))
    yellow = transform([(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)], 3, 3)
    reddish = transform([r - g for r, g in zip(red, green, strict=True)], 3, 3)
    opacity = transform(alpha, 5, 5) if has_alpha else None
    landscape = width > height
    first = (
        round(63 * lightness.constant)
        | round(31.5 + 31.5 * yellow.constant) << 6
        | round(31.5 + 31.5 * reddish.constant) << 12
        | round(31 * lightness.scale) << 18
        | has_alpha << 23
    )
    shorter = down if landscape else across
    second = shorter | round(63 * yellow.scale) << 3 | round(63 * reddish.scale) << 9 | landscape << 15
    head = first.to_bytes(3, "little") + second.to_bytes(2, "little")
    waves = [*lightness.waves, *yellow.waves, *reddish.waves]
    if opacity:
        head += bytes([round(15 * opacity.constant) | round(15 * opacity.scale) << 4])
        waves += opacity.waves
    return head + _nibbles(waves)


def _planes(picture: PIL.Image.Image) -> tuple[list[float], list[float], list[float], list[float]]:
    """Red, green and blue over the mean colour, and opacity, all in 0..1."""
    alpha = [value / 255 for value in picture.convert("RGBA").getchannel("A").tobytes()]
    weight = sum(alpha)
    colours = []
    for band in picture.convert("RGB").split():
        values = [value / 255 for value in band.tobytes()]
        if weight < len(alpha):
            pairs = list(zip(values, alpha, strict=True))
            mean = sum(value * share for value, share in pairs) / weight if weight else 0.0
            values = [mean * (1 - share) + value * share for value, share in pairs]
        colours.append(values)
    red, green, blue = colours
    return red, green, blue, alpha


def _transform(values: Sequence[float], width: int, height: int, columns: int, rows: int) -> _Channel:
    """Rows first, then columns; of the terms those below the diagonal."""
    across, down = _waves(width, columns), _waves(height, rows)
    lines = [values[at : at + width] for at in range(0, width * height, width)]
    inner = [[_dot(line, wave) for line in lines] for wave in across]
    terms = [
        _dot(inner[x], down[y]) / (width * height)
        for y in range(rows)
        for x in range(columns)
        if x * rows < columns * (rows - y)
    ]
    constant, rest = terms[0], terms[1:]
    scale = max(map(abs, rest))
    return _Channel(constant, [0.5 + 0.5 * term / scale for term in rest] if scale else rest, scale)


def _waves(length: int, count: int) -> list[list[float]]:
    return [[math.cos(math.pi / length * wave * (at + 0.5)) for at in range(length)] for wave in range(count)]


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _nibbles(waves: Sequence[float]) -> bytes:
    values = [min(15, max(0, round(15 * wave))) for wave in waves]
    values += [0] * (len(values) % 2)
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))
