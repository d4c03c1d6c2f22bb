"""The end of what lies in the trash for long enough: the row, then the files that nobody else uses."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from gallery.models import Image, PendingFile
from gallery.services.intake import discard_pending
from gallery.services.pictures import TRASH_DAYS
from imagineer.database import hold
from imagineer.models import Event

BATCH = 200  # in one sweep, which comes again within seconds


def purge_trash() -> int:
    """For the sweeper; returns how many files went."""
    overdue = timezone.now() - timedelta(days=TRASH_DAYS)
    found = Image.objects.filter(deleted_at__lt=overdue).order_by("deleted_at")[:BATCH]
    return sum(purge_image(image) for image in found)


def purge_image(image: Image, *, by: Any = None) -> int:
    """Removes a picture that is in the trash; one that has been brought back meanwhile stays. Returns files removed.

    The files are announced in the transaction that removes the row: after a crash the sweeper goes on.
    """
    with transaction.atomic():
        hold(image.sha256)
        gone, _ = Image.objects.filter(pk=image.pk, deleted_at=image.deleted_at, deleted_at__isnull=False).delete()
        if not gone:
            return 0
        Event.record(by, "purge", image, sha256=image.sha256, owner=image.owner_id)
        pending = PendingFile.objects.bulk_create(PendingFile(key=key) for key in image.file_keys)
    return discard_pending(pending)
