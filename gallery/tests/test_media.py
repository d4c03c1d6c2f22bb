import hashlib
import io
from contextlib import suppress
from pathlib import Path

import PIL.Image
import pytest
from django.core.files.storage import default_storage
from django.test import Client

from gallery.models import Rating, Visibility
from gallery.services.ranges import ByteRange, NotSatisfiable, parse_range
from tests.people import Api, hang_up

PUBLIC = {"visibility": Visibility.PUBLIC, "rating": Rating.SAFE}
SECRET = b"a secret owl"


def body(response):
    return b"".join(response.streaming_content)


def files_of(image):
    return f"/images/{image.pk}/file", f"/images/{image.pk}/thumbnail?size=300"


def original(image):
    with default_storage.open(image.original_key) as file:
        return file.read()


# What is sent -----------------------------------------------------------------------------------------------


def test_the_owner_gets_the_original_bit_by_bit(member, picture):
    image = picture()
    response = Api(member).get(files_of(image)[0])
    data = body(response)
    assert hashlib.sha256(data).hexdigest() == image.sha256
    assert SECRET in data
    assert response["Content-Type"] == "image/png"
    assert int(response["Content-Length"]) == len(data) == image.bytes
    assert response["ETag"] == f'"{image.sha256}"'


@pytest.mark.parametrize("who", ["stranger", "visitor"])
def test_others_get_a_rendition_that_tells_no_prompt(stranger, picture, who):
    image = picture(**PUBLIC)
    assert SECRET in original(image)
    for path in files_of(image):
        response = Api(stranger if who == "stranger" else None).get(path)
        data = body(response)
        assert response["Content-Type"] == "image/webp"
        assert SECRET not in data
        opened = PIL.Image.open(io.BytesIO(data))
        assert not {"exif", "xmp", "parameters", "imagineer"} & set(opened.info)


@pytest.mark.parametrize(("size", "sides"), [(300, (300, 150)), (600, (600, 300)), (1200, (800, 400))])
def test_thumbnails_keep_the_aspect_and_never_enlarge(member, picture, size, sides):
    image = picture(size=(800, 400))
    response = Api(member).get(f"/images/{image.pk}/thumbnail?size={size}")
    assert PIL.Image.open(io.BytesIO(body(response))).size == sides
    assert response["ETag"] == f'"{image.sha256}-{size}"'


def test_a_thumbnail_has_600_px_unless_asked_otherwise(member, picture):
    image = picture(size=(800, 400))
    response = Api(member).get(f"/images/{image.pk}/thumbnail")
    assert PIL.Image.open(io.BytesIO(body(response))).size == (600, 300)


@pytest.mark.parametrize("size", ["299", "0", "-300", "x", "1e3", "99999999999999999999"])
def test_other_sizes_are_refused(member, picture, size):
    assert Api(member).get(f"/images/{picture().pk}/thumbnail?size={size}").status_code == 422


def test_pages_use_the_same_files(member, stranger, picture):
    image = picture()
    for path in (f"/images/{image.pk}/file", f"/images/{image.pk}/thumbnail/300.webp"):
        client = Client()
        assert client.get(path).status_code == 404
        client.force_login(stranger)
        assert client.get(path).status_code == 404
        client.force_login(member)
        assert client.get(path).status_code == 200
        assert client.post(path).status_code == 405
    assert client.get(f"/images/{image.pk}/thumbnail/301.webp").status_code == 404


# How it is sent ---------------------------------------------------------------------------------------------


def test_every_file_is_sent_so_that_it_can_do_no_harm(member, picture):
    for image in (picture(), picture(**PUBLIC)):
        for path in files_of(image):
            response = Api(member).get(path)
            assert response["X-Content-Type-Options"] == "nosniff"
            assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert response["Content-Disposition"].startswith('inline; filename="imagineer-')
            assert set(response["Vary"].split(", ")) >= {"Authorization", "Cookie"}


def test_a_download_asks_to_be_saved(member, picture):
    response = Api(member).get(f"{files_of(picture())[0]}?download=1")
    assert response["Content-Disposition"].startswith("attachment; filename=")


def test_only_open_public_renditions_may_be_kept_by_caches(member, stranger, picture):
    keep, forget = "public, max-age=31536000, immutable", "private, no-store"
    private, public = picture(), picture(**PUBLIC)
    unlisted = picture(visibility=Visibility.UNLISTED, rating=Rating.SAFE)
    adult = picture(visibility=Visibility.PUBLIC, rating=Rating.ADULT)
    assert [Api(member).get(path)["Cache-Control"] for path in files_of(private)] == [forget, forget]
    assert [Api(member).get(path)["Cache-Control"] for path in files_of(public)] == [forget, keep]
    assert [Api(stranger).get(path)["Cache-Control"] for path in files_of(public)] == [keep, keep]
    assert [Api(stranger).get(path)["Cache-Control"] for path in files_of(unlisted)] == [forget, forget]
    assert [Api(stranger).get(path)["Cache-Control"] for path in files_of(adult)] == [forget, forget]


def test_what_a_caller_has_already_is_not_sent_again(member, picture):
    path = files_of(picture())[0]
    etag = Api(member).get(path)["ETag"]
    response = Api(member).get(path, headers={"If-None-Match": etag})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize("header", ["If-None-Match", "Range"])
def test_nobody_learns_by_conditions_what_they_may_not_see(stranger, picture, header):
    image = picture()
    value = {"If-None-Match": f'"{image.sha256}"', "Range": "bytes=0-0"}[header]
    for path in files_of(image):
        assert Api(stranger).get(path, headers={header: value}).status_code == 404


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-9", 0, 10), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=0-999999999", 0, None)],
)
def test_a_range_is_a_part(member, picture, header, first, last):
    image = picture()
    response = Api(member).get(files_of(image)[0], headers={"Range": header})
    expected = original(image)[first:last]
    assert response.status_code == 206
    assert body(response) == expected
    assert int(response["Content-Length"]) == len(expected)
    begin = first if first >= 0 else image.bytes + first
    assert response["Content-Range"] == f"bytes {begin}-{begin + len(expected) - 1}/{image.bytes}"


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "bytes=9-5", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=1-2-3"])
def test_a_range_that_makes_no_sense_is_ignored(member, picture, header):
    response = Api(member).get(files_of(picture())[0], headers={"Range": header})
    assert response.status_code == 200


@pytest.mark.parametrize("header", ["bytes=99999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(member, picture, header):
    image = picture()
    response = Api(member).get(files_of(image)[0], headers={"Range": header})
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{image.bytes}")
    assert response["Content-Type"] == "application/problem+json"


def test_a_part_is_only_of_the_version_that_was_begun(member, picture):
    image = picture()
    part = {"Range": "bytes=0-1"}
    path = files_of(image)[0]
    same = Api(member).get(path, headers={**part, "If-Range": f'"{image.sha256}"'})
    other = Api(member).get(path, headers={**part, "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)


def test_head_tells_everything_but_the_bytes(member, picture):
    image = picture()
    visitor = Client()
    visitor.force_login(member)
    for response in (Api(member).head(files_of(image)[0]), visitor.head(f"/images/{image.pk}/file")):
        assert response.status_code == 200
        assert response["Content-Length"] == str(image.bytes)
        assert response["ETag"] == f'"{image.sha256}"'


@pytest.mark.parametrize("rating", ["adult", "explicit"])
def test_pictures_for_adults_are_sent_only_to_those_who_asked(member, stranger, operator, picture, rating):
    image = picture(visibility=Visibility.PUBLIC, rating=rating)
    for path in files_of(image):
        assert Api().get(path).status_code == 403
        assert [Api(person).get(path).status_code for person in (member, operator, stranger)] == [200] * 3
    page = f"/images/{image.pk}/thumbnail/300.webp"
    client = Client()
    client.force_login(stranger)
    assert client.get(page).status_code == 403
    session = client.session
    session["adult"] = True
    session.save()
    assert client.get(page).status_code == 200


def test_a_missing_file_is_said_and_logged(member, picture, caplog):
    image = picture()
    default_storage.delete(image.original_key)
    response = Api(member).get(files_of(image)[0])
    assert (response.status_code, "missing" in response.json()["detail"]) == (404, True)
    assert image.original_key in caplog.text


def test_a_file_is_closed_when_the_caller_hangs_up(member, picture):
    image = picture()
    response = Api(member).get(files_of(image)[0])
    assert next(iter(response.streaming_content)).startswith(b"\x89PNG")
    assert image.sha256 in open_files()
    hang_up(response)
    assert image.sha256 not in open_files()


def open_files():
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return " ".join(found)


# Ranges by themselves ---------------------------------------------------------------------------------------


def test_a_range_of_nothing():
    assert parse_range("", 10) is None
    assert parse_range("bytes=0-0", 1) == ByteRange(0, 0, 1)
    assert parse_range("bytes=-99", 10) == ByteRange(0, 9, 10)
    for header in ("bytes=0-", "bytes=-1"):
        with pytest.raises(NotSatisfiable):
            parse_range(header, 0)
