"""The renditions of a picture. They are made once, when it enters (gallery/services/intake.py), never in a request."""

from imagekit import ImageSpec, register
from imagekit.processors import ResizeToFit

from gallery.models.image import RENDITIONS


class Rendition(ImageSpec):
    """WebP without any metadata, aspect kept, never enlarged."""

    format = "WEBP"
    options = {"quality": 82, "method": 4}
    size: int

    @property
    def processors(self) -> list[ResizeToFit]:
        return [ResizeToFit(self.size, self.size, upscale=False)]


SPECS: dict[int, type[Rendition]] = {
    size: type(f"Rendition{size}", (Rendition,), {"size": size}) for size in RENDITIONS
}
for _size, _spec in SPECS.items():
    register.generator(f"gallery:rendition{_size}", _spec)
