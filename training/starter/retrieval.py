"""Does a picture show what was asked for? Find it again among the training pictures of its style.

Pictures are reduced to 32 × 32, turned to CIE L*a*b* (D65), freed of their mean colour and compared by cosine.
The rank of the right thing among all things of the style is the figure; 1 is a hit.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 32
BLANK = 1.0
"""Length, in units of L*a*b*, under which nothing but rounding is left of a picture."""
WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""sRGB primaries to CIE XYZ, IEC 61966-2-1."""

Floats = npt.NDArray[np.float32]


def lab(rgb: npt.NDArray[np.uint8]) -> Floats:
    """sRGB (…, 3) uint8 to L*a*b* (L 0..100)."""
    encoded = rgb.astype(np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    ratios = linear @ RGB_TO_XYZ.T / WHITE_D65
    bent = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def features(pictures: npt.NDArray[np.uint8]) -> Floats:
    """(N, H, W, 3) to (N, 3072): rows of length 1, or all zero for a blank picture."""
    small = [np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)) for picture in pictures]
    colours = lab(np.stack(small))
    centred = (colours - colours.mean(axis=(1, 2), keepdims=True)).reshape(len(colours), -1)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.where(lengths < BLANK, 0, centred / np.maximum(lengths, BLANK)), np.float32)


def ranks(queries: Floats, gallery: Floats, right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """1-based rank of `right[i]` among the gallery's rows for query i; equals count against it."""
    scores = queries @ gallery.T
    own = scores[np.arange(len(queries)), right]
    return np.asarray((scores >= own[:, None]).sum(axis=1), np.int64)


@dataclass(frozen=True)
class Score:
    count: int
    top1: float
    top5: float
    median_rank: float

    @classmethod
    def of(cls, found: npt.NDArray[np.int64]) -> "Score":
        return cls(len(found), float((found <= 1).mean()), float((found <= 5).mean()), float(np.median(found)))
