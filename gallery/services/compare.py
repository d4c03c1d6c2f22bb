"""Does a rerun give the same pictures? The verdict is the worst over all of them."""

from typing import Any

import PIL.Image
import PIL.ImageChops
from django.core.files.storage import default_storage

from gallery.models import Generation, Image, Verdict

NEAR = 16  # largest difference of a channel, of 255, that still counts as near


def compare_with_original(rerun: Generation) -> str:
    """Empty when a picture of the original is gone and nothing can be said."""
    ours = {image.index: image for image in Image.objects.filter(generation=rerun)}
    theirs = {image.index: image for image in Image.objects.filter(generation=rerun.rerun_of)}
    if not theirs or set(ours) != set(theirs):
        return ""
    worst = max(difference(ours[index], theirs[index]) for index in ours)
    if worst == 0:
        return Verdict.IDENTICAL
    return Verdict.NEAR if worst <= NEAR else Verdict.DIFFERENT


def difference(one: Image, other: Image) -> int:
    """The largest difference of any channel of any pixel, 0..255; 255 when the sizes differ."""
    if (one.width, one.height) != (other.width, other.height):
        return 255
    extrema: Any = PIL.ImageChops.difference(_pixels(one), _pixels(other)).getextrema()
    return int(max(high for _, high in extrema))


def _pixels(image: Image) -> PIL.Image.Image:
    with default_storage.open(image.original_key) as file, PIL.Image.open(file) as opened:
        return opened.convert("RGB")
