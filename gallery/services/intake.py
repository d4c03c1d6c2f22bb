"""How a picture enters: its bytes under a name made of their hash, its renditions, and only then its row."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from gallery.decoder import Facts, measure
from gallery.models import Image, PendingFile
from gallery.models.image import original_key, rendition_key
from gallery.services.decoding import RECIPES
from gallery.services.documents import refresh_document
from imagineer.database import hold, insist
from imagineer.storage import sha256_of

logger = logging.getLogger(__name__)
ORPHAN_AGE = timedelta(minutes=10)  # longer than anything takes from the first file to the row
_MEASURED = ("format", "width", "height", "frames", "dhash", "color", "thumbhash", "sharpness")


def enter_picture(
    path: Path,
    *,
    facts: Facts | None = None,
    guard: Callable[[], None] | None = None,
    also: Callable[[Image], None] | None = None,
    **fields: Any,
) -> Image:
    """Takes the picture at `path` in; `fields` are the row's (owner, source, generation, …).

    Without `facts` the picture is decoded here and now: for the program's own pictures. Those from elsewhere are
    decoded by gallery.services.decoding first.

    `guard` is called inside the transaction that makes the row and may veto it by raising; `also` may add rows to it.
    Whatever goes wrong, no file stays behind: what can't be removed now is removed by the sweeper.
    """
    if facts is None:
        with path.open("rb") as file:
            facts = measure(file, RECIPES)
    sha256 = sha256_of(path)
    original = original_key(sha256, facts.format)
    files = {rendition_key(sha256, size): data for size, data in facts.renditions.items()}
    pending = announce_files(sha256, [original, *files])
    try:
        with path.open("rb") as file:
            default_storage.save(original, File(file))
        for key, data in files.items():
            default_storage.save(key, ContentFile(data))
        measured = {name: getattr(facts, name) for name in _MEASURED}
        image = Image(sha256=sha256, bytes=path.stat().st_size, **measured, **fields)
        insist(lambda: _save(image, pending, guard, also))
    except BaseException:
        with suppress(Exception):
            discard_pending(pending)
        raise
    return image


def announce_files(sha256: str, keys: Iterable[str]) -> list[PendingFile]:
    """Notes that files are about to come or go. Whoever else would remove them sees it."""

    def note() -> list[PendingFile]:
        with transaction.atomic():
            hold(sha256)
            return PendingFile.objects.bulk_create(PendingFile(key=key) for key in keys)

    return insist(note)


def discard_pending(pending: Iterable[PendingFile]) -> int:
    """Removes announced files, unless a picture uses them or somebody else has announced them too."""
    return sum(_discard(entry) for entry in pending)


def sweep_pending() -> int:
    """For the sweeper: files of intakes that a crash cut off."""
    return discard_pending(PendingFile.older_than(timezone.now() - ORPHAN_AGE))


def _discard(entry: PendingFile) -> bool:
    sha256 = Path(entry.key).name[:64]
    with transaction.atomic():
        hold(sha256)
        PendingFile.objects.filter(pk=entry.pk).delete()
        if Image.objects.filter(sha256=sha256).exists() or PendingFile.objects.filter(key=entry.key).exists():
            return False
        if not default_storage.exists(entry.key):
            return False
        default_storage.delete(entry.key)
    return True


def _save(
    image: Image,
    pending: list[PendingFile],
    guard: Callable[[], None] | None,
    also: Callable[[Image], None] | None,
) -> None:
    with transaction.atomic():
        if guard:
            guard()
        image.save(force_insert=True)
        if also:
            also(image)
        refresh_document(image)
        PendingFile.objects.filter(pk__in=[entry.pk for entry in pending]).delete()
