"""Sizes to offer for a model: the area it was trained on, in the usual shapes."""

from dataclasses import dataclass

from gallery.models import DiffusionModel
from gallery.services.requests import SIDE_LIMITS, SIDE_STEP

SHAPES = (("Square", 1, 1), ("Portrait", 3, 4), ("Tall", 9, 16), ("Landscape", 4, 3), ("Wide", 16, 9))


@dataclass(frozen=True)
class Preset:
    name: str
    width: int
    height: int

    @property
    def icon(self) -> str:
        if self.width == self.height:
            return "square"
        return "rectangle-horizontal" if self.width > self.height else "rectangle-vertical"


def size_presets(model: DiffusionModel) -> list[Preset]:
    """Sides are multiples of 64 where the model is large, as it was trained, and of 8 elsewhere."""
    area = model.width * model.height
    step = 64 if area >= 512 * 512 else SIDE_STEP
    presets = []
    for name, across, down in SHAPES:
        unit = (area / (across * down)) ** 0.5
        presets.append(Preset(name, _side(unit * across, step), _side(unit * down, step)))
    return presets


def _side(length: float, step: int) -> int:
    low, high = SIDE_LIMITS
    return max(low, min(high, round(length / step) * step))
