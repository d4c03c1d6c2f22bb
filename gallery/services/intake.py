"""How a picture enters: its bytes under a name made of their hash, its renditions, and only then its row."""

import io
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import PIL.Image
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone
from imagekit.processors import ProcessorPipeline

from gallery.imagegenerators import SPECS
from gallery.models import Image, PendingFile
from gallery.models.image import original_key, rendition_key
from gallery.services.documents import refresh_document
from imagineer.database import insist
from imagineer.storage import sha256_of

logger = logging.getLogger(__name__)
ORPHAN_AGE = timedelta(minutes=10)  # longer than anything takes from the first file to the row


@dataclass(frozen=True)
class Facts:
    """What one decode tells of a picture, with its renditions as WebP bytes by size."""

    format: str
    width: int
    height: int
    dhash: int
    color: str
    renditions: dict[int, bytes]


def enter_picture(path: Path, *, guard: Callable[[], None] | None = None, **fields: Any) -> Image:
    """Takes the picture at `path` in; `fields` are the row's (owner, source, generation, …).

    `guard` is called inside the transaction that makes the row and may veto it by raising. Whatever goes wrong, no
    file stays behind: what can't be removed now is removed by the sweeper.
    """
    facts = measure(path)
    sha256 = sha256_of(path)
    files = {rendition_key(sha256, size): data for size, data in facts.renditions.items()}
    keys = [original_key(sha256, facts.format), *files]
    insist(lambda: PendingFile.objects.bulk_create(PendingFile(key=key) for key in keys))
    try:
        with path.open("rb") as original:
            default_storage.save(keys[0], File(original))
        for key, data in files.items():
            default_storage.save(key, ContentFile(data))
        image = Image(
            sha256=sha256,
            format=facts.format,
            bytes=path.stat().st_size,
            width=facts.width,
            height=facts.height,
            dhash=facts.dhash,
            color=facts.color,
            **fields,
        )
        insist(lambda: _save(image, keys, guard))
    except BaseException:
        with suppress(Exception):
            discard_pending(PendingFile.objects.filter(key__in=keys))
        raise
    return image


def measure(path: Path) -> Facts:
    with PIL.Image.open(path) as opened:
        image_format = (opened.format or "").lower()
        picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    return Facts(
        format=image_format,
        width=picture.width,
        height=picture.height,
        dhash=difference_hash(picture),
        color=_mean_color(picture),
        renditions={size: _render(picture, size) for size in SPECS},
    )


def difference_hash(picture: PIL.Image.Image) -> int:
    """Whether each of 8×8 cells is darker than its right neighbour, as a signed 64-bit number. N. Krawetz, 2013."""
    grey = picture.convert("L").resize((9, 8), PIL.Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (grey[row * 9 + column] < grey[row * 9 + column + 1])
    return bits - (1 << 64) if bits >> 63 else bits


def discard_pending(pending: Any) -> int:
    """Removes the files of entries that were not finished, unless a picture has come to use them."""
    removed = 0
    for entry in pending:
        with transaction.atomic():
            sha256 = Path(entry.key).name[:64]
            if not Image.objects.filter(sha256=sha256).exists() and default_storage.exists(entry.key):
                default_storage.delete(entry.key)
                removed += 1
            PendingFile.objects.filter(pk=entry.pk).delete()
    return removed


def sweep_pending() -> int:
    """For the sweeper: files of intakes that a crash cut off."""
    return discard_pending(PendingFile.older_than(timezone.now() - ORPHAN_AGE))


def _save(image: Image, keys: list[str], guard: Callable[[], None] | None) -> None:
    with transaction.atomic():
        if guard:
            guard()
        image.save(force_insert=True)
        refresh_document(image)
        PendingFile.objects.filter(key__in=keys).delete()


def _render(picture: PIL.Image.Image, size: int) -> bytes:
    spec = SPECS[size](source=None)
    small = ProcessorPipeline(spec.processors).process(picture)
    buffer = io.BytesIO()
    small.save(buffer, spec.format, **spec.options)
    return buffer.getvalue()


def _mean_color(picture: PIL.Image.Image) -> str:
    on_white = PIL.Image.new("RGB", picture.size, "white")
    on_white.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    red, green, blue = on_white.resize((1, 1), PIL.Image.Resampling.BOX).tobytes()
    return f"#{red:02x}{green:02x}{blue:02x}"
