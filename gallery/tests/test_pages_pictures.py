"""The pages that show pictures: who sees what, in which order, at what cost."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gallery.models import Image, Rating, Visibility
from gallery.tests.makers import make_generation, make_lora
from gallery.views import listing

PUBLIC = {"visibility": Visibility.PUBLIC, "rating": Rating.SAFE}
FRONT_QUERIES = 8


def shown(page) -> list[str]:
    """The ids of the pictures that a page links to, in its order."""
    assert page.status_code == 200, page.content
    return re.findall(r'class="tile [^"]*" href="/images/([0-9a-f-]{36})', page.content.decode())


def as_(person) -> Client:
    client = Client()
    if person is not None:
        client.force_login(person)
    return client


def queries(client, address) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as made:
        client.get(address)
    return len(made)


# Front page ----------------------------------------------------------------------------------------------------------


def test_the_front_page_shows_what_is_public_newest_first(member, stranger, operator, picture):
    now = timezone.now()
    old = picture(**PUBLIC, created_at=now - timedelta(hours=2))
    new = picture(**PUBLIC, rating_source="owner", created_at=now - timedelta(hours=1), index=1)
    picture(index=2)
    picture(index=3, visibility=Visibility.PUBLIC)  # nobody has rated it
    picture(index=4, visibility=Visibility.UNLISTED, rating=Rating.SAFE)
    picture(index=5, **PUBLIC, deleted_at=now)
    picture(index=6, visibility=Visibility.PUBLIC, rating=Rating.EXPLICIT)
    for person in (None, member, stranger, operator):
        assert shown(as_(person).get("/")) == [str(new.pk), str(old.pk)]


def test_pictures_for_adults_wait_for_a_word(client, picture):
    gated = picture(visibility=Visibility.PUBLIC, rating=Rating.ADULT)
    assert shown(client.get("/")) == []
    page = client.get(f"/images/{gated.pk}").content.decode()
    assert "Rated adult" in page
    assert "an owl under a lantern" not in page
    assert f"/images/{gated.pk}/thumbnail" not in page
    assert client.post("/adult", {"adult": "yes", "next": f"/images/{gated.pk}"})["Location"] == f"/images/{gated.pk}"
    assert f"/images/{gated.pk}/thumbnail/1200.webp" in client.get(f"/images/{gated.pk}").content.decode()
    assert shown(client.get("/")) == [str(gated.pk)]
    client.post("/adult", {"next": "/"})
    assert shown(client.get("/")) == []


def test_the_front_page_costs_the_same_with_one_and_with_three(member, picture):
    picture(**PUBLIC)
    for person in (None, member):
        one = queries(as_(person), "/")
        assert one <= FRONT_QUERIES
        if Image.objects.count() < 3:
            picture(**PUBLIC, index=1)
            picture(**PUBLIC, index=2)
        assert queries(as_(person), "/") == one


@pytest.mark.parametrize("role", ["nobody", "guest", "member"])
def test_an_empty_front_page_offers_the_next_step(request, db, role):
    person = None if role == "nobody" else request.getfixturevalue(role)
    page = as_(person).get("/").content.decode()
    assert "No public pictures yet" in page
    assert ('href="/create"' in page) is (role == "member")
    assert ("Log in to create one" in page) is (role == "nobody")


# Pages of a list -----------------------------------------------------------------------------------------------------


@pytest.fixture
def seven(picture, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 3)
    now = timezone.now()
    made = [picture(**PUBLIC, index=i, created_at=now - timedelta(minutes=i // 3)) for i in range(7)]
    return [str(image.pk) for image in sorted(made, key=lambda i: (i.created_at, i.pk), reverse=True)]


def next_link(page) -> str | None:
    found = re.search(r'class="more"\s+href="([^"]+)"', page.content.decode())
    return found.group(1).replace("&amp;", "&") if found else None


def test_links_lead_through_the_whole_list(client, seven):
    found, address = [], "/"
    while address:
        page = client.get(address)
        found += shown(page)
        link = next_link(page)
        address = f"/{link}" if link else None
    assert found == seven


def test_pages_stay_stable_while_pictures_come(client, seven, picture):
    page = client.get("/")
    picture(**PUBLIC, index=8)
    assert shown(client.get(f"/{next_link(page)}")) == seven[3:6]


def test_scrolling_gets_only_what_comes_next_and_the_address_remembers(client, seven):
    first = client.get("/").content.decode()
    more = re.search(r'hx-get="([^"]+)"', first.partition('class="more"')[2]).group(1).replace("&amp;", "&")
    page = client.get(f"/{more}", headers={"HX-Request": "true"})
    assert shown(page) == seven[3:6]
    assert "<html" not in page.content.decode()
    assert page["HX-Replace-Url"] == "/?pages=2"
    assert shown(client.get("/?pages=2")) == seven[:6]  # where the back button comes back to


@pytest.mark.parametrize("cursor", ["x", "e30", "AAAA", "'", "%00", "a" * 5000])
def test_a_damaged_address_is_refused_on_a_page_of_the_site(client, db, cursor):
    page = client.get("/", {"cursor": cursor})
    assert page.status_code == 400
    assert "can't be read" in page.content.decode()


@pytest.mark.parametrize("pages", ["0", "-1", "x", "99999", "²"])
def test_a_strange_number_of_pages_is_taken_as_a_sane_one(client, seven, pages):
    assert shown(client.get("/", {"pages": pages})) in (seven[:3], seven)


# One picture ---------------------------------------------------------------------------------------------------------


def test_who_opens_a_picture(member, stranger, operator, picture):
    people = (member, operator, stranger, None)
    expected = {
        "private": (picture(), [200, 200, 404, 404]),
        "unrated": (picture(index=1, visibility=Visibility.PUBLIC), [200, 200, 404, 404]),
        "unlisted": (picture(index=2, visibility=Visibility.UNLISTED, rating=Rating.SAFE), [200] * 4),
        "public": (picture(index=3, **PUBLIC), [200] * 4),
        "trashed": (picture(index=4, **PUBLIC, deleted_at=timezone.now()), [404] * 4),
    }
    for kind, (image, statuses) in expected.items():
        assert [as_(person).get(f"/images/{image.pk}").status_code for person in people] == statuses, kind


def test_a_picture_tells_how_it_was_made(client, member, model, picture):
    model.licence = "MIT"
    model.save()
    loras = [(make_lora("paper", name="Paper cut", licence="CC BY 4.0"), 0.75)]
    generation = make_generation(member, model, loras, negative_prompt="fog", finished_at=timezone.now(), seed=9)
    image = picture(**PUBLIC, generation=generation, index=0, seed=9, title="Owl <b>", licence="CC0")
    page = " ".join(client.get(f"/images/{image.pk}").content.decode().split())
    assert '<p class="prompt" id="prompt-text">an owl under a lantern</p>' in page
    assert "fog" in page
    assert "Owl &lt;b&gt;" in page
    for fact in ("<dt>Seed</dt><dd>9</dd>", "<dt>Steps</dt><dd>12</dd>", "<dt>Licence</dt><dd>CC0</dd>"):
        assert fact in page
    assert "Paper cut" in page
    assert "CC BY 4.0" in page
    assert "MIT" in page


def test_others_get_no_buttons_of_the_owner(member, stranger, operator, guest, picture):
    image = picture(**PUBLIC, index=0)
    pages = [as_(person).get(f"/images/{image.pk}").content.decode() for person in (member, operator, stranger, guest)]
    assert [f"/images/{image.pk}/trash" in page for page in pages] == [True, True, False, False]
    assert ["More like this" in page for page in pages] == [True, True, True, False]


def test_left_and_right_walk_the_list_one_came_from(member, picture):
    now = timezone.now()
    places = {name: now - timedelta(minutes=age) for name, age in (("new", 1), ("middle", 2), ("old", 3))}
    new = picture(**PUBLIC, index=0, created_at=places["new"])
    private = picture(index=1, created_at=now - timedelta(minutes=1.5))
    middle = picture(**PUBLIC, index=2, created_at=places["middle"])
    old = picture(**PUBLIC, index=3, created_at=places["old"])
    page = as_(None).get(f"/images/{middle.pk}").content.decode()
    assert re.findall(r'rel="(prev|next)" href="([^"]+)"', page) == [
        ("prev", f"/images/{new.pk}"),
        ("next", f"/images/{old.pk}"),
    ]
    page = as_(member).get(f"/images/{middle.pk}?in=mine").content.decode()
    assert f'rel="prev" href="/images/{private.pk}?in=mine"' in page


def test_a_picture_page_costs_the_same_whatever_hangs_on_it(member, model, picture):
    bare = picture(index=0)
    generation = make_generation(member, model, [(make_lora(f"lora{i}"), 1) for i in range(3)], init_image=bare)
    image = picture(generation=generation, index=1)
    for number in range(3):
        started = make_generation(member, model, init_image=image)
        picture(generation=started, index=number)
    rich, poor = (queries(as_(member), f"/images/{found.pk}") for found in (image, bare))
    assert rich - poor <= 2  # the picture it started from, and one read for all LoRAs
    assert rich <= 16


def test_start_pictures_that_are_hidden_stay_hidden(member, stranger, model, picture):
    secret = picture(index=0, title="The secret start")
    generation = make_generation(member, model, init_image=secret, strength=0.5)
    image = picture(**PUBLIC, generation=generation, index=1)
    page = as_(stranger).get(f"/images/{image.pk}").content.decode()
    assert "The secret start" not in page
    assert str(secret.pk) not in page
    assert "A picture that you may not see" in page
    assert "The secret start" in as_(member).get(f"/images/{image.pk}").content.decode()


# Doing ---------------------------------------------------------------------------------------------------------------


def test_publishing_and_taking_back(member, picture):
    image, client = picture(index=0), as_(member)
    client.post(f"/images/{image.pk}/publish", {"visibility": "public", "rating": "suggestive"})
    image.refresh_from_db()
    assert (image.visibility, image.rating, image.rating_source) == ("public", "suggestive", "owner")
    assert shown(Client().get("/")) == [str(image.pk)]
    client.post(f"/images/{image.pk}/unpublish")
    assert shown(Client().get("/")) == []


def test_a_refusal_is_a_sentence(member, picture):
    image = picture(index=0, rating=Rating.ADULT, rating_locked=True)
    page = as_(member).post(f"/images/{image.pk}/publish", {"visibility": "public", "rating": "safe"}, follow=True)
    assert "An operator has fixed the rating of this picture" in page.content.decode()
    page = as_(member).post(f"/images/{image.pk}/publish", {"visibility": "everywhere"}, follow=True)
    assert "everywhere is not one of the available choices" in page.content.decode()
    image.refresh_from_db()
    assert image.visibility == "private"


def test_the_trash_and_back(member, picture):
    image, client = picture(index=0, **PUBLIC), as_(member)
    page = client.post(f"/images/{image.pk}/trash", follow=True)
    assert f'action="/images/{image.pk}/restore"' in page.content.decode()
    assert shown(page) == []
    assert Client().get(f"/images/{image.pk}").status_code == 404
    assert "Bring back" in client.get("/mine?show=trash").content.decode()
    client.post(f"/images/{image.pk}/restore")
    assert shown(Client().get("/")) == [str(image.pk)]


def test_describing_keeps_to_the_limits(member, picture):
    image = picture(index=0)
    fields = {"title": "Owl", "alt": "An owl sits", "licence": "CC0", "author": "Ada"}
    as_(member).post(f"/images/{image.pk}/describe", fields)
    page = as_(member).post(f"/images/{image.pk}/describe", {**fields, "title": "x" * 201}, follow=True)
    assert "at most 200 characters" in page.content.decode()
    image.refresh_from_db()
    assert (image.title, image.alt, image.licence, image.author) == ("Owl", "An owl sits", "CC0", "Ada")


@pytest.mark.parametrize("act", ["publish", "unpublish", "describe", "trash", "restore", "verify"])
def test_only_owners_and_operators_act_and_only_by_post(member, stranger, operator, picture, act):
    private, public = picture(index=0), picture(index=1, **PUBLIC)
    assert as_(member).get(f"/images/{public.pk}/{act}").status_code == 405
    assert as_(None).post(f"/images/{public.pk}/{act}")["Location"].startswith("/accounts/login/")
    assert as_(stranger).post(f"/images/{private.pk}/{act}").status_code == 404
    before = Image.objects.filter(pk=public.pk).values().get()
    if act != "verify":  # whoever sees a picture and may generate may verify it
        assert as_(stranger).post(f"/images/{public.pk}/{act}").status_code in (403, 404)
    assert Image.objects.filter(pk=public.pk).values().get() == before
    assert Client(enforce_csrf_checks=True).post(f"/images/{public.pk}/{act}").status_code == 403


def test_verifying_makes_it_again(member, guest, picture, generation):
    image = picture(index=0, **PUBLIC)
    address = as_(member).post(f"/images/{image.pk}/verify")["Location"]
    rerun = generation.reruns.get()
    assert address == f"/create?generation={rerun.pk}"
    assert (rerun.seed, rerun.status, rerun.created_by) == (generation.seed, "queued", member)
    assert as_(guest).post(f"/images/{image.pk}/verify").status_code == 403
    upload = picture(generation=None, source="uploaded", index=None)
    assert as_(member).post(f"/images/{upload.pk}/verify").status_code == 404


# Mine ----------------------------------------------------------------------------------------------------------------


def test_mine_is_mine(member, stranger, operator, picture):
    now = timezone.now()
    private = picture(index=0, created_at=now)
    public = picture(index=1, **PUBLIC, created_at=now - timedelta(minutes=1))
    trashed = picture(index=2, deleted_at=now)
    client = as_(member)
    assert shown(client.get("/mine")) == [str(private.pk), str(public.pk)]
    assert shown(client.get("/mine?show=private")) == [str(private.pk)]
    assert shown(client.get("/mine?show=public")) == [str(public.pk)]
    assert str(trashed.pk) in client.get("/mine?show=trash").content.decode()
    for person in (stranger, operator):
        assert shown(as_(person).get("/mine")) == []
        assert str(trashed.pk) not in as_(person).get("/mine?show=trash").content.decode()
    assert as_(None).get("/mine")["Location"] == "/accounts/login/?next=/mine"


# Errors --------------------------------------------------------------------------------------------------------------


def test_error_pages_belong_to_the_site(client, db, picture):
    image = picture(index=0)
    pages = {
        "/nothing-here": 404,
        f"/images/{image.pk}": 404,
        "/images/1": 404,
        "/?cursor=x": 400,
    }
    for address, status in pages.items():
        page = client.get(address)
        assert page.status_code == status
        assert 'class="header"' in page.content.decode()
    page = Client(enforce_csrf_checks=True).post("/adult")
    assert page.status_code == 403
    assert "This form is too old" in page.content.decode()


def test_what_breaks_is_told_without_a_database(client, monkeypatch):
    client.raise_request_exception = False

    def explode(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("gallery.views.pictures.public_images", explode)
    page = client.get("/adult")
    assert page.status_code == 200
    page = client.get("/")
    assert page.status_code == 500
    assert "Something broke" in page.content.decode()
    assert "secret detail" not in page.content.decode()
