"""POST /images: what is taken, what is refused and why, and that what was refused leaves nothing."""

import hashlib
import io
from datetime import timedelta
from pathlib import Path

import PIL.Image
import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from gallery.models import Image, PendingFile
from gallery.services.integrity import check_integrity
from gallery.tests.uploads import encoded, scene, upload, with_infotext
from imagineer.models import Event, User
from tests.people import Api, field_errors

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_folder")]


def send(user, *files, **fields):
    return Api(user).post("/images", {"files": list(files), **fields})


def left_behind(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_picture_is_taken_as_it_is(member: User) -> None:
    data = encoded(scene())
    response = send(member, upload(data, "Leuchtturm.png"), caption=" a lighthouse ")
    assert response.status_code == 201, response.content
    assert response.json()["rejected"] == []
    item = response.json()["items"][0]
    assert (item["source"], item["visibility"], item["rating"], item["format"]) == (
        "uploaded",
        "private",
        "unrated",
        "png",
    )
    assert (item["caption"], item["alt"]) == ("a lighthouse", "a lighthouse")
    assert (item["width"], item["height"], item["bytes"]) == (160, 120, len(data))
    assert item["sha256"] == hashlib.sha256(data).hexdigest()
    assert (item["duplicate"], item["near_duplicates"]) == (False, [])
    image = Image.objects.get(pk=item["id"])
    with default_storage.open(image.original_key) as file:
        assert file.read() == data
    assert (len(image.thumbhash) > 20, image.sharpness > 0, image.frames) == (True, True, 1)
    assert Event.objects.filter(verb="upload", target_id=item["id"], actor=member).count() == 1
    assert check_integrity().is_clean


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_every_format_is_known_by_its_bytes(member: User, image_format: str) -> None:
    item = send(member, upload(encoded(scene(), image_format), "anything.txt")).json()["items"][0]
    assert item["format"] == image_format.lower()
    for size in (300, 600, 1200):
        answer = Api(member).get(f"/images/{item['id']}/thumbnail?size={size}")
        with PIL.Image.open(io.BytesIO(b"".join(answer.streaming_content))) as rendition:
            assert (rendition.format, rendition.size) == ("WEBP", (160, 120))


def test_each_file_is_judged_by_itself(member: User, data_folder: Path) -> None:
    files = [upload(b"%PDF-1.7", "a.png"), upload(encoded(scene()), "b.png"), upload(encoded(scene())[:200], "c.png")]
    response = send(member, *files)
    assert response.status_code == 201
    assert len(response.json()["items"]) == 1
    assert response.json()["rejected"] == [
        {
            "filename": "a.png",
            "reason": "It is a PDF document; JPEG, PNG, WebP, AVIF and GIF are taken.",
            "code": "format",
        },
        {"filename": "c.png", "reason": "It is cut off or damaged: its pixels can't be read.", "code": "damaged"},
    ]
    assert Image.objects.count() == 1


def test_when_none_is_taken_nothing_is_there(member: User, data_folder: Path) -> None:
    before = left_behind(data_folder)
    refused = field_errors(send(member, upload(b"<svg onload=alert(1)>", "a.png")))
    assert refused == {"files": "a.png: It is an SVG drawing; JPEG, PNG, WebP, AVIF and GIF are taken."}
    assert left_behind(data_folder) == before
    assert not Image.objects.exists()
    assert not PendingFile.objects.exists()


def test_the_same_bytes_are_one_picture(member: User, stranger: User) -> None:
    data = encoded(scene())
    first = send(member, upload(data)).json()["items"][0]
    again = send(member, upload(data), upload(data), visibility="public")
    assert again.status_code == 201
    assert [(item["id"], item["duplicate"], item["visibility"]) for item in again.json()["items"]] == [
        (first["id"], True, "private"),
        (first["id"], True, "private"),
    ]
    theirs = send(stranger, upload(data)).json()["items"][0]
    assert (theirs["duplicate"], theirs["id"] != first["id"], theirs["near_duplicates"]) == (False, True, [])


def test_a_trashed_one_comes_back(member: User) -> None:
    data = encoded(scene())
    first = send(member, upload(data)).json()["items"][0]
    Image.objects.update(deleted_at=timezone.now() - timedelta(days=31))
    again = send(member, upload(data)).json()["items"][0]
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    assert Image.objects.kept().count() == 1
    assert Event.objects.filter(verb="restore").count() == 1


def test_what_looks_alike_is_reported(member: User) -> None:
    picture = scene(size=(320, 240))
    original = send(member, upload(encoded(picture))).json()["items"][0]
    other = send(member, upload(encoded(scene(5)))).json()["items"][0]
    alike = send(member, upload(encoded(picture.resize((200, 150)), "JPEG", quality=70))).json()["items"][0]
    assert (alike["duplicate"], alike["near_duplicates"]) == (False, [original["id"]])
    assert other["near_duplicates"] == []


def test_who_may_send(member: User, guest: User) -> None:
    file = encoded(scene())
    assert send(None, upload(file)).status_code == 401
    assert send(guest, upload(file)).status_code == 403
    assert Api(member, "read").post("/images", {"files": upload(file)}).status_code == 403
    assert send(member, upload(file)).status_code == 201


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"visibility": "everybody"}, {"visibility"}),
        ({"caption": "x" * 2001}, {"caption"}),
        ({"album": "holiday"}, {"album"}),
        ({"rating": "safe", "colour": "red"}, {"rating", "colour"}),
    ],
)
def test_what_is_asked_for_is_checked_first(member: User, fields: dict[str, str], refused: set[str]) -> None:
    assert field_errors(send(member, upload(encoded(scene())), **fields)).keys() == refused
    assert not Image.objects.exists()


def test_a_body_without_files(member: User) -> None:
    assert field_errors(Api(member).post("/images", {"caption": "x"})) == {"files": "is required."}
    assert Api(member).send("/images", {"files": []}).status_code in (415, 422)
    misnamed = Api(member).post("/images", {"files": upload(encoded(scene())), "file": upload(encoded(scene(2)))})
    assert field_errors(misnamed).keys() == {"file"}


def test_sharing_is_the_owners_word_that_it_is_safe(member: User, stranger: User) -> None:
    item = send(member, upload(encoded(scene())), visibility="public").json()["items"][0]
    assert (item["visibility"], item["rating"]) == ("public", "safe")
    assert Api(stranger).get(f"/images/{item['id']}").status_code == 200


def test_sizes(member: User, settings, data_folder: Path) -> None:
    settings.UPLOAD_FILE_BYTES = 10_000
    settings.UPLOAD_REQUEST_BYTES = 100_000
    big = upload(b"\x89PNG" + bytes(20_000), "big.png")
    response = send(member, big)
    assert response.status_code == 413
    assert response.json()["errors"] == [{"field": "files", "message": "big.png: It is larger than 0.00953674 MiB."}]
    small = scene(size=(40, 30))
    mixed = send(member, upload(bytes(20_000), "big.png"), upload(encoded(small)))
    assert (mixed.status_code, mixed.json()["rejected"][0]["code"]) == (201, "bytes")
    whole = send(member, *[upload(bytes(20_000), f"{number}.png") for number in range(6)])
    assert whole.status_code == 413
    assert whole["Content-Type"] == "application/problem+json"
    settings.UPLOAD_PIXELS = 5_000
    refused = field_errors(send(member, upload(encoded(scene(2, (100, 60)), "GIF"), "wide.gif")))
    assert refused["files"] == "wide.gif: It has 100 × 60 pixels, 0 megapixels; at most 0.005 are taken."
    settings.UPLOAD_SIDE = 64
    assert "a side may have at most 64" in field_errors(send(member, upload(encoded(scene(2, (70, 60))))))["files"]


def test_the_same_key_gives_the_same_answer(member: User) -> None:
    data, api = encoded(scene()), Api(member)

    def call(data):
        return api.post("/images", {"files": [upload(data)]}, headers={"Idempotency-Key": "k1"})

    first = call(data)
    again = call(data)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json(), "not even a duplicate"
    assert again["Idempotent-Replayed"] == "true"
    assert call(encoded(scene(3))).status_code == 409
    assert Image.objects.count() == 1


def test_an_animation_is_shown_by_its_first_frame(member: User, settings) -> None:
    frames = [scene(number) for number in range(1, 6)]
    first = PIL.Image.new("RGB", (160, 120), (200, 30, 30))
    for image_format in ("GIF", "WEBP", "PNG"):
        data = encoded(first, image_format, save_all=True, append_images=frames, duration=50)
        item = send(member, upload(data)).json()["items"][0]
        image = Image.objects.get(pk=item["id"])
        assert (image.frames, image.color[:2] > "#b") == (6, True), image_format
    settings.UPLOAD_FRAMES = 5
    data = encoded(first, "GIF", save_all=True, append_images=frames, duration=70)
    assert "an animation of 6 frames" in field_errors(send(member, upload(data)))["files"]


def test_parameters_come_with_it(member: User) -> None:
    item = send(member, upload(with_infotext(scene()))).json()["items"][0]
    assert item["seed"] == 77
    found = Image.objects.get(pk=item["id"]).imported_metadata
    assert found.program == "a1111"
    assert found.raw["parameters"].startswith("a lighthouse in fog")
    assert found.parameters["loras"][0]["name"] == "ink"
