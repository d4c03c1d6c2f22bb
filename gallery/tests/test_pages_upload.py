"""The upload page, the page of an uploaded picture, and what the create form makes of it."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gallery.models import Image
from gallery.services.uploads import Upload, take_uploads
from gallery.tests.makers import make_lora, make_model
from gallery.tests.test_pages_pictures import as_
from gallery.tests.uploads import encoded, scene, upload, with_infotext
from imagineer.models import User
from tests.people import Api

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_folder")]


@pytest.fixture
def take(data_folder, member):
    """Takes bytes in as the member's."""

    def taken(data: bytes, **said) -> Image:
        path = data_folder / "sent"
        path.write_bytes(data)
        return take_uploads(member, [Upload("sent", path)], **said).taken[0].image

    return taken


def send(person, *files, **fields):
    return as_(person).post("/upload", {"files": list(files), **fields})


# Sending -------------------------------------------------------------------------------------------------------------


def test_who_gets_the_page(member: User, guest: User) -> None:
    assert Client().get("/upload").url == "/accounts/login/?next=/upload"
    assert Client().post("/upload", {"files": upload(b"x")}).status_code == 302
    assert as_(guest).get("/upload").status_code == 403
    assert send(guest, upload(encoded(scene()))).status_code == 403
    page = as_(member).get("/upload").content.decode()
    assert 'enctype="multipart/form-data"' in page
    assert "at most 20 MiB and 40 megapixels" in page
    assert 'href="/upload"' in as_(member).get("/mine").content.decode()
    assert 'href="/upload"' not in as_(guest).get("/mine").content.decode()


def test_it_takes_what_it_can_and_says_why_not(member: User) -> None:
    data = encoded(scene())
    page = send(member, upload(data, "fog.png"), upload(b"<html>", "<b>.png"), caption="fog", visibility="public")
    text = page.content.decode()
    image = Image.objects.get()
    assert (page.status_code, image.visibility, image.caption, image.owner) == (200, "public", "fog", member)
    assert f'href="/images/{image.pk}"' in text
    assert "&lt;b&gt;.png" in text
    assert "Not taken. It is a web page" in text
    again = send(member, upload(data, "fog.png")).content.decode()
    assert "You had this picture already" in again


def test_a_script_gets_the_list_alone(member: User) -> None:
    client = as_(member)
    page = client.post("/upload", {"files": upload(encoded(scene()))}, headers={"HX-Request": "true"})
    assert page.content.decode().strip().startswith("<li")
    assert "<html" not in page.content.decode()


@pytest.mark.parametrize(
    ("files", "fields", "sentence"),
    [
        ([], {}, "Choose at least one picture."),
        ([b"x"], {}, "no picture that is known here"),
        ([b"x"], {"caption": "x" * 2001}, "at most 2000 are allowed"),
        ([b"x"], {"visibility": "all"}, "Select a valid choice"),
    ],
)
def test_refusals(member: User, files: list[bytes], fields: dict[str, str], sentence: str) -> None:
    page = send(member, *map(upload, files), **fields)
    assert page.status_code == 422
    assert sentence in page.content.decode()
    assert not Image.objects.exists()


def test_too_much_at_once(member: User, settings) -> None:
    settings.UPLOAD_REQUEST_BYTES = 2**20
    page = send(member, upload(bytes(2**20)))
    assert page.status_code == 413
    assert "That is more than 1 MiB at once" in page.content.decode()


def test_a_form_from_elsewhere_is_refused(member: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(member)
    assert client.post("/upload", {"files": upload(encoded(scene()))}).status_code == 403
    assert not Image.objects.exists()
    token = client.get("/upload").context["csrf_token"]
    sent = client.post("/upload", {"files": upload(encoded(scene())), "csrfmiddlewaretoken": str(token)})
    assert (sent.status_code, Image.objects.count()) == (200, 1)


# Seeing --------------------------------------------------------------------------------------------------------------


def test_the_page_shows_what_the_file_said(member: User, stranger: User, take) -> None:
    image = take(with_infotext(scene()), caption="a tower")
    page = as_(member).get(f"/images/{image.pk}").content.decode()
    for text in ("a lighthouse in fog", "people", "DPM++ 2M Karras", "512 × 768", "A1111 or alike", "a tower", "ink"):
        assert text in page, text
    assert f'href="/create?like={image.pk}&amp;seed="' in page
    assert as_(stranger).get(f"/images/{image.pk}").status_code == 404


def test_a_picture_that_says_nothing_has_its_file(member: User, take) -> None:
    image = take(encoded(scene()))
    page = as_(member).get(f"/images/{image.pk}").content.decode()
    assert "160 × 120 PNG" in page
    assert "?like=" not in page
    assert f'href="/create?init_image={image.pk}&amp;seed="' in page


def test_parameters_by_the_api(member: User, take) -> None:
    image, silent = take(with_infotext(scene())), take(encoded(scene(2)))
    body = Api(member).get(f"/images/{image.pk}/parameters").json()
    assert body["parameters"]["source"] == "a1111"
    assert {name: body["parameters"][name] for name in ("prompt", "seed", "steps", "guidance", "width")} == {
        "prompt": "a lighthouse in fog,",
        "seed": 77,
        "steps": 24,
        "guidance": 6.5,
        "width": 512,
    }
    assert "Negative prompt: people" in body["text"]
    assert Api(member).get(f"/images/{silent.pk}/parameters").status_code == 404


# Making more ---------------------------------------------------------------------------------------------------------


def initial(page) -> dict:
    return {name: value for name, value in page.context["form"].initial.items() if value is not None}


def test_more_like_it_fills_the_form(member: User, take, model) -> None:
    ink = make_lora("ink")
    image = take(with_infotext(scene()))
    page = as_(member).get(f"/create?like={image.pk}")
    filled = initial(page)
    assert filled["prompt"] == "a lighthouse in fog,"
    assert filled["negative_prompt"] == "people"
    assert (filled["width"], filled["height"], filled["steps"], filled["guidance"]) == (512, 768, 24, 6.5)
    assert (filled["sampler"], filled["seed"], filled["model"]) == ("DPM++ 2M Karras", 77, "tiny")
    assert [(row.lora, row.weight) for row in page.context["form"].rows] == [(ink.slug, "0.7")]
    assert page.context["missing"] == []


def test_what_is_not_here_is_named(member: User, take) -> None:
    make_model("other", sha256="b" * 64, is_default=True)
    image = take(with_infotext(scene()))
    page = as_(member).get(f"/create?like={image.pk}")
    assert page.context["missing"] == ["the model tiny", "the LoRA ink"]
    assert "was also made with the model tiny, the LoRA ink" in page.content.decode()
    assert page.context["form"].rows == []


def test_a_hash_says_more_than_a_name(member: User, take) -> None:
    make_model("tiny", sha256="c" * 64, is_default=True)
    make_model("renamed", sha256="a" * 64)
    make_lora("inked", tensors_sha256="0123456789ab" + "0" * 52)
    page = as_(member).get(f"/create?like={take(with_infotext(scene())).pk}")
    assert initial(page)["model"] == "renamed"
    assert [row.lora for row in page.context["form"].rows] == ["inked"]


def test_wild_numbers_become_possible_ones(member: User, take, model) -> None:
    text = "x\nSteps: 9000, Sampler: Nonesuch, CFG scale: 99, Seed: 99999999999, Size: 99999x1, Model: tiny"
    filled = initial(as_(member).get(f"/create?like={take(with_infotext(scene(), text)).pk}"))
    assert (filled["steps"], filled["guidance"], filled["width"], filled["height"]) == (150, 30.0, 2048, 64)
    assert filled["sampler"] == model.sampler
    assert "seed" not in filled


def test_a_picture_page_costs_the_same_with_much_metadata(member: User, take) -> None:
    long = with_infotext(scene(), "word " * 20_000 + "\nSteps: 2, Sampler: Euler, CFG scale: 2, Seed: 1, Size: 64x64")
    pictures = [take(with_infotext(scene(2))), take(long)]
    client, counts = as_(member), []
    for image in pictures:
        client.get(f"/images/{image.pk}")
        with CaptureQueriesContext(connection) as made:
            client.get(f"/images/{image.pk}")
        counts.append(len(made))
    assert counts[0] == counts[1]
