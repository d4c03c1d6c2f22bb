"""What enters is whole, measured and rendered; what fails leaves nothing."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from gallery.decoder import difference_hash
from gallery.models import Image, PendingFile
from gallery.services.intake import ORPHAN_AGE, enter_picture, sweep_pending
from gallery.services.integrity import check_integrity, repair
from imagineer.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def png(data_folder: Path) -> Path:
    path = data_folder / "in.png"
    picture = PIL.Image.linear_gradient("L").resize((800, 400)).convert("RGB")
    picture.save(path)
    return path


def stored(folder: Path) -> list[str]:
    media = folder / "media"
    return sorted(path.relative_to(media).as_posix() for path in media.rglob("*") if path.is_file())


def test_a_picture_enters_with_its_renditions(png: Path, member: User, data_folder: Path) -> None:
    image = enter_picture(png, owner=member, source="generated")
    assert (image.width, image.height, image.format, image.bytes) == (800, 400, "png", png.stat().st_size)
    assert Path(default_storage.path(image.original_key)).read_bytes() == png.read_bytes()
    sizes = {}
    for size in (300, 600, 1200):
        with PIL.Image.open(default_storage.path(image.rendition_key(size))) as rendition:
            sizes[size] = (rendition.format, rendition.size)
            assert not rendition.getexif()
    assert sizes == {300: ("WEBP", (300, 150)), 600: ("WEBP", (600, 300)), 1200: ("WEBP", (800, 400))}
    assert {size: image.rendition_size(size) for size in sizes} == {size: found[1] for size, found in sizes.items()}
    assert not PendingFile.objects.exists()
    assert check_integrity().is_clean


def test_a_veto_leaves_nothing(png: Path, member: User, data_folder: Path) -> None:
    def veto() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        enter_picture(png, owner=member, source="generated", guard=veto)
    assert stored(data_folder) == []
    assert not Image.objects.exists()
    assert not PendingFile.objects.exists()


def test_what_a_crash_left_is_swept_after_a_while(png: Path, data_folder: Path) -> None:
    sha256 = "ab" * 32
    for key in (f"originals/ab/{sha256}.png", f"renditions/ab/{sha256}-300.webp"):
        PendingFile.objects.create(key=key)
        (data_folder / "media" / key).parent.mkdir(parents=True)
        (data_folder / "media" / key).write_bytes(b"half")
    assert sweep_pending() == 0, "it may still be on its way"
    assert check_integrity().is_clean
    PendingFile.objects.update(created_at=timezone.now() - ORPHAN_AGE - timedelta(seconds=1))
    assert sweep_pending() == 2
    assert stored(data_folder) == []


def test_a_file_that_two_owners_share_survives_one_failed_intake(png: Path, member: User, stranger: User) -> None:
    image = enter_picture(png, owner=member, source="generated")

    def veto() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        enter_picture(png, owner=stranger, source="generated", guard=veto)
    assert default_storage.exists(image.original_key)
    assert check_integrity().is_clean


def test_integrity_finds_and_repairs(png: Path, member: User, data_folder: Path, settings: Any) -> None:
    settings.MODELS_DIR = data_folder / "models"
    image = enter_picture(png, owner=member, source="generated")
    media = data_folder / "media"
    stray = media / "originals" / "zz" / "stray.png"
    stray.parent.mkdir()
    stray.write_bytes(b"x")
    original = media / image.original_key
    original.write_bytes(original.read_bytes()[:-1] + b"\0")
    (media / image.rendition_key(600)).unlink()
    report = check_integrity()
    assert report.orphan == ["originals/zz/stray.png"]
    assert report.mismatch == [image.original_key]
    assert report.missing == [image.rendition_key(600)]
    repair(report)
    assert check_integrity().orphan == []
    assert check_integrity().mismatch == [image.original_key], "what is altered can't be made up"


def test_the_difference_hash_is_of_what_is_seen(data_folder: Path) -> None:
    rising = PIL.Image.linear_gradient("L").rotate(90).resize((64, 64))
    falling = rising.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    assert difference_hash(rising) == difference_hash(rising.resize((300, 200)))
    assert bin((difference_hash(rising) ^ difference_hash(falling)) & (2**64 - 1)).count("1") == 64


def test_the_mean_colour_sees_transparency_as_white(data_folder: Path, member: User) -> None:
    path = data_folder / "clear.png"
    PIL.Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(path)
    assert enter_picture(path, owner=member, source="generated").color == "#ffffff"
