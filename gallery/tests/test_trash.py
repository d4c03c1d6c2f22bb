"""After 30 days in the trash a picture is gone, with the files that nobody else uses."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from gallery.models import Image, PendingFile
from gallery.services.intake import announce_files, discard_pending
from gallery.services.integrity import check_integrity
from gallery.services.trash import purge_image, purge_trash
from gallery.services.uploads import Upload, take_uploads
from gallery.tests.uploads import encoded, scene, with_infotext
from imagineer.models import Event, User
from imagineer.sweeper import sweep

pytestmark = pytest.mark.django_db


@pytest.fixture
def take(data_folder: Path, settings):
    settings.MODELS_DIR = data_folder / "models"

    def taken(owner: User, data: bytes, *, days: float | None = None) -> Image:
        path = data_folder / "sent"
        path.write_bytes(data)
        image = take_uploads(owner, [Upload("sent", path)]).taken[0].image
        path.unlink()
        if days is not None:
            Image.objects.filter(pk=image.pk).update(deleted_at=timezone.now() - timedelta(days=days))
            image.refresh_from_db()
        return image

    return taken


def test_what_is_overdue_goes_and_nothing_else(member: User, take) -> None:
    kept, recent = take(member, encoded(scene(1))), take(member, encoded(scene(2)), days=29.9)
    overdue = take(member, with_infotext(scene(3)), days=30.1)
    assert sweep().files == 4
    assert set(Image.objects.values_list("pk", flat=True)) == {kept.pk, recent.pk}
    assert not any(default_storage.exists(key) for key in overdue.file_keys)
    assert all(default_storage.exists(key) for image in (kept, recent) for key in image.file_keys)
    event = Event.objects.get(verb="purge")
    assert (event.target_id, event.actor, event.details["sha256"]) == (str(overdue.pk), None, overdue.sha256)
    assert check_integrity().is_clean


def test_files_that_others_use_stay(member: User, stranger: User, take) -> None:
    data = encoded(scene(1))
    take(member, data, days=31)
    theirs = take(stranger, data)
    assert purge_trash() == 0
    assert list(Image.objects.all()) == [theirs]
    assert all(default_storage.exists(key) for key in theirs.file_keys)
    assert check_integrity().is_clean


def test_what_was_brought_back_meanwhile_stays(member: User, take) -> None:
    image = take(member, encoded(scene(1)), days=31)
    Image.objects.update(deleted_at=None)
    assert purge_image(image) == 0
    assert Image.objects.filter(pk=image.pk).exists()
    assert not PendingFile.objects.exists()


def test_files_that_an_intake_has_announced_stay(member: User, take) -> None:
    """Else a picture that comes in at this moment would find its file, not write it, and lose it."""
    image = take(member, encoded(scene(1)), days=31)
    coming = announce_files(image.sha256, image.file_keys)
    assert purge_trash() == 0
    assert all(default_storage.exists(key) for key in image.file_keys)
    assert discard_pending(coming) == 4
