"""Search and the LoRAs' pages: what they show to whom, what their addresses say, what they cost."""

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


def shown(page) -> list[str]:
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


@pytest.mark.parametrize("query", ["", "?q=owl"])
def test_people_find_what_lists_may_show_them(member, stranger, operator, picture, query):
    public, private = picture(**PUBLIC, index=0), picture(index=1)
    unlisted = picture(index=2, visibility=Visibility.UNLISTED, rating=Rating.SAFE)
    adult = picture(index=3, owner=stranger, visibility=Visibility.PUBLIC, rating=Rating.ADULT)
    picture(index=4, **PUBLIC, deleted_at=timezone.now())
    expected = {
        None: {public},
        member: {public, private, unlisted},
        stranger: {public, adult},
        operator: {public, private, unlisted},
    }
    for person, pictures in expected.items():
        page = as_(person).get(f"/search{query}")
        assert set(shown(page)) == {str(image.pk) for image in pictures}
        assert f"{len(pictures)} picture" in page.content.decode()


def test_facets_are_chips_that_can_be_removed(client, member, model, picture):
    lora = make_lora("paper", name="Paper")
    with_lora = make_generation(member, model, [(lora, 0.8)], prompt="a paper owl")
    now = timezone.now()
    wanted = picture(**PUBLIC, generation=with_lora, index=0)
    picture(**PUBLIC, index=1)
    picture(**PUBLIC, generation=with_lora, index=2, created_at=now - timedelta(days=9))
    since = (now - timedelta(days=2)).date()
    address = f"/search?q=owl&lora=paper&since={since}&source=generated&rating=safe&model=tiny&owner={member.pk}"
    page = client.get(address)
    assert shown(page) == [str(wanted.pk)]
    text = page.content.decode()
    chips = re.findall(r'class="chip removable" href="([^"]+)" title="[^"]*">([^<]+?) *<', text)
    names = [name.strip() for _, name in chips]
    assert names == ["Generated", "Model: tiny", "LoRA: Paper", "Safe only", "By Member", f"From {since:%-d %B %Y}"]
    without_day = next(link for link, name in chips if name.startswith("From")).replace("&amp;", "&")
    assert len(shown(client.get(without_day))) == 2


@pytest.mark.parametrize(
    ("query", "left_out"),
    [("source=stolen", "source"), ("model=none", "model"), ("since=yesterday", "since"), ("owner=x", "owner"),
     ("sort=best", "sort"), ("rating=adult", "rating"), ("q=" + "x" * 501, "q"), ("until=9999-12-31", "")],
)  # fmt: skip
def test_what_makes_no_sense_is_left_out_and_said_so(client, picture, query, left_out):
    image = picture(**PUBLIC)
    page = client.get(f"/search?{query}")
    assert shown(page) == [str(image.pk)]
    assert (f"The filter “{left_out}” is not understood" in page.content.decode()) is bool(left_out)


@pytest.mark.parametrize("sort", ["new", "old", "random"])
@pytest.mark.parametrize("words", ["", "owl"])
def test_links_lead_through_all_that_was_found(client, picture, monkeypatch, sort, words):
    monkeypatch.setattr(listing, "PAGE", 3)
    now = timezone.now()
    made = [str(picture(**PUBLIC, index=i, created_at=now - timedelta(minutes=i)).pk) for i in range(7)]
    page = client.get(f"/search?q={words}&sort={sort}", follow=True)
    found = shown(page)
    while link := re.search(r'class="more"\s+href="([^"]+)"', page.content.decode()):
        page = client.get("/search" + link.group(1).replace("&amp;", "&"))
        found += shown(page)
    assert sorted(found) == sorted(made)
    if sort != "random":
        assert found == (made if sort == "new" else made[::-1])


def test_a_shuffle_stays_the_same_at_its_address(client, picture):
    made = [picture(**PUBLIC, index=i) for i in range(9)]
    address = client.get("/search?sort=random")["Location"]
    assert re.fullmatch(r"/search\?sort=random&salt=[0-9a-f]{8}", address)
    first, second, other = (shown(client.get(a)) for a in (address, address, "/search?sort=random&salt=00000000"))
    assert first == second
    assert set(first) == set(other) == {str(image.pk) for image in made}
    assert len(shown(client.get("/search?sort=random&salt=zzz"))) == 9


def test_a_search_is_text_on_the_page(client, db):
    page = client.get("/search", {"q": "<script>alert(1)</script>"}).content.decode()
    assert "<script>alert" not in page
    assert "No picture has these words" in page


@pytest.mark.parametrize("address", ["/search", "/search?q=owl", "/search?q=owl&model=tiny&rating=safe"])
@pytest.mark.parametrize("role", ["nobody", "member"])
def test_search_costs_the_same_with_one_and_with_three(member, generation, picture, address, role):
    person = None if role == "nobody" else member
    make_generation(member, generation.model, [(make_lora("paper"), 1)])
    picture(**PUBLIC, index=0)
    one = queries(as_(person), address)
    picture(**PUBLIC, index=1), picture(**PUBLIC, index=2)
    assert queries(as_(person), address) == one <= 12


# LoRAs ---------------------------------------------------------------------------------------------------------------


def test_loras_show_what_they_are_and_only_what_may_be_seen(member, stranger, operator, model, picture):
    paper = make_lora("paper", name="Paper", trigger_words=["papercut"], licence="CC0", description="Cut paper.")
    make_lora("off", name="Switched off", enabled=False)
    make_lora("broken", name="Broken", reason="It holds no tensors.")
    with_it = make_generation(member, model, [(paper, 0.8)])
    public, private = picture(**PUBLIC, generation=with_it, index=0), picture(generation=with_it, index=1)
    picture(**PUBLIC)
    for person, pictures in ((None, [public]), (stranger, [public]), (member, [private, public])):
        everything = as_(person).get("/loras").content.decode()
        assert "Paper" in everything
        assert "Switched off" not in everything
        assert "Broken" not in everything
        assert (f"{private.pk}" in everything) is (private in pictures)
        page = as_(person).get("/loras/paper")
        assert shown(page) == [str(image.pk) for image in pictures]
        text = page.content.decode()
        assert all(word in text for word in ("papercut", "CC0", "Cut paper.", "0.8", "tiny"))
        assert ("/create?lora=paper" in text) is (person is not None)
        assert [as_(person).get(f"/loras/{slug}").status_code for slug in ("off", "broken", "none")] == [404] * 3
    assert [as_(operator).get(f"/loras/{slug}").status_code for slug in ("off", "broken")] == [200, 200]


def test_a_hidden_preview_is_not_shown(member, stranger, picture):
    make_lora("paper", preview=picture(index=0))
    assert "/thumbnail/" not in as_(stranger).get("/loras").content.decode()
    assert "/thumbnail/" in as_(member).get("/loras").content.decode()


def test_use_it_fills_the_form(member, model):
    make_lora("paper", default_weight=0.65)
    link = re.search(r'href="(/create\?[^"]+)"', as_(member).get("/loras/paper").content.decode()).group(1)
    page = as_(member).get(link.replace("&amp;", "&")).content.decode()
    assert 'value="0.65"' in page
    assert re.search(r'<option value="paper"[^>]*selected', page)


@pytest.mark.parametrize("address", ["/loras", "/loras/lora0"])
def test_loras_cost_the_same_with_one_and_with_three(client, member, model, picture, address):
    for number in range(3):
        lora = make_lora(f"lora{number}")
        picture(**PUBLIC, generation=make_generation(member, model, [(lora, 1)]), index=number)
        if number == 0:
            one = queries(client, address)
    assert Image.objects.count() == 3
    assert queries(client, address) == one <= 12
