"""Upgrading a studio that has pictures already: they can be found afterwards."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from gallery.models import Image


@pytest.mark.django_db(transaction=True)
def test_pictures_that_are_there_can_be_found_after_the_upgrade():
    try:
        call_command("migrate", "gallery", "0002", verbosity=0)
        old = MigrationLoader(connection).project_state(("gallery", "0002_roles")).apps.get_model("gallery", "Image")
        for number, title in enumerate(("Owl", "Fox")):
            fields = {"format": "png", "bytes": 1, "width": 1, "height": 1, "created_at": "2026-11-25T00:00:00Z"}
            old.objects.create(source="uploaded", sha256=f"{number:064}", title=title, **fields)
    finally:
        call_command("migrate", verbosity=0)
    assert [image.title for image in Image.objects.search("ow")] == ["Owl"]
    assert Image.objects.search("fox").exists()
