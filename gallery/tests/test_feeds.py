"""Feed, sitemap and what pages tell programs: only what is open to all."""

import json
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gallery.models import Rating, Visibility
from gallery.tests.makers import make_lora
from gallery.views.sharing import licence_address

PUBLIC = {"visibility": Visibility.PUBLIC, "rating": Rating.SAFE}


@pytest.fixture
def hidden(picture):
    """One of each kind that must not be told of."""
    return [
        picture(index=10),
        picture(index=11, visibility=Visibility.UNLISTED, rating=Rating.SAFE),
        picture(index=12, visibility=Visibility.PUBLIC),
        picture(index=13, visibility=Visibility.PUBLIC, rating=Rating.ADULT),
        picture(index=14, visibility=Visibility.PUBLIC, rating=Rating.EXPLICIT),
        picture(index=15, **PUBLIC, deleted_at=timezone.now()),
    ]


@pytest.mark.parametrize("address", ["/feed.atom", "/sitemap-pictures.xml"])
@pytest.mark.parametrize("role", ["nobody", "member", "operator"])
def test_only_what_is_open_to_all_appears(request, picture, hidden, address, role):
    """For everybody, also for those who may see more: the answer may be kept by caches."""
    client = Client()
    if role != "nobody":
        client.force_login(request.getfixturevalue(role))
        client.post("/adult", {"adult": "yes"})
    image = picture(**PUBLIC, index=0, title="Owl & <b>", alt='An "owl"', licence="CC0", author="Ada")
    page = client.get(address)
    assert page.status_code == 200
    text = page.content.decode()
    assert f"http://testserver/images/{image.pk}" in text
    assert [str(other.pk) for other in hidden if str(other.pk) in text] == []


def test_the_feed_is_atom(client, picture):
    image = picture(**PUBLIC, title="Owl & <b>", alt='An "owl"', licence="CC0", author="Ada")
    page = client.get("/feed.atom")
    text = page.content.decode()
    assert page["Content-Type"].startswith("application/atom+xml")
    for part in ("<title>Owl &amp; &lt;b&gt;</title>", "<name>Ada</name>", "<rights>CC0</rights>",
                 f"/images/{image.pk}/thumbnail/600.webp"):  # fmt: skip
        assert part in text


def test_the_sitemap_leads_to_all_and_robots_to_it(client, picture):
    picture(**PUBLIC)
    make_lora("paper"), make_lora("off", enabled=False)
    assert "Sitemap: http://testserver/sitemap.xml" in client.get("/robots.txt").content.decode()
    sections = re.findall("<loc>([^<]+)</loc>", client.get("/sitemap.xml").content.decode())
    assert sections == ["http://testserver/sitemap-pages.xml", "http://testserver/sitemap-pictures.xml"]
    pages = re.findall("<loc>([^<]+)</loc>", client.get("/sitemap-pages.xml").content.decode())
    assert pages == [f"http://testserver{path}" for path in ("/", "/loras", "/loras/paper")]
    assert client.get("/sitemap-secrets.xml").status_code == 404


@pytest.mark.parametrize("address", ["/feed.atom", "/sitemap.xml", "/sitemap-pictures.xml"])
def test_they_cost_the_same_with_one_and_with_three(client, picture, address):
    counts = []
    for number in range(3):
        picture(**PUBLIC, index=number)
        with CaptureQueriesContext(connection) as made:
            assert client.get(address).status_code == 200
        counts.append(len(made))
    assert counts == [counts[0]] * 3
    assert counts[0] <= 3


def test_a_picture_tells_programs_what_it_is(client, picture):
    image = picture(**PUBLIC, title='Owl </script><script>x "', alt="An owl & a fox", licence="CC BY-SA 4.0")
    page = client.get(f"/images/{image.pk}")
    text = page.content.decode()
    address = f"http://testserver/images/{image.pk}"
    assert f'property="og:url" content="{address}"' in text
    assert f'property="og:image" content="{address}/thumbnail/1200.webp"' in text
    assert "<script>x" not in text
    data = json.loads(re.search(r'<script type="application/ld\+json">(.*?)</script>', text, re.DOTALL).group(1))
    assert (data["@type"], data["name"], data["caption"]) == ("ImageObject", image.title, "An owl & a fox")
    assert (data["creditText"], data["license"]) == ("Member", "https://creativecommons.org/licenses/by-sa/4.0/")
    assert (data["width"], data["height"]) == (160, 120)
    assert data["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert "'unsafe-inline'" not in page["Content-Security-Policy"]


def test_what_is_not_open_to_all_tells_programs_nothing(client, operator, hidden):
    client.force_login(operator)
    for image in hidden[:-1]:
        text = client.get(f"/images/{image.pk}").content.decode()
        assert "og:" not in text
        assert "ld+json" not in text
        assert '<meta name="robots" content="noindex">' in text


def test_addresses_of_licences():
    known = {
        "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
        "cc by 4.0": "https://creativecommons.org/licenses/by/4.0/",
        "https://example.org/terms": "https://example.org/terms",
        "javascript:alert(1)": "",
        "All rights reserved": "",
    }
    assert {text: licence_address(text) for text in known} == known
