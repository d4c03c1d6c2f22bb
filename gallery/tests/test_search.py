"""Words find pictures: the same on both databases, whatever is typed."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gallery.models import Image, SearchDocument
from gallery.services.finding import FOUND_NEWEST
from gallery.services.pictures import ImageChanges, update_image
from gallery.tests.makers import make_generation
from gallery.words import document_of, phrases_of
from imagineer.pagination import PageParameters, paginate


@pytest.fixture
def make(picture, member, model):
    def one(prompt: str, **fields):
        return picture(generation=make_generation(member, model, prompt=prompt), **fields)

    return one


def found(query: str) -> list[str]:
    return [image.title for image in Image.objects.search(query).order_by("-place")]


def test_words_prefixes_and_phrases(make):
    make("a red apple under a lantern", title="apple")
    make("an apple-red fox, 3D style", title="fox")
    make("Crème brûlée at Straße 7, (glowing:1.3) 100%", title="cream")
    make("夜のふくろうと月", title="owl")
    expected = {
        "apple": ["fox", "apple"],
        "APPLE lant": ["apple"],
        '"red apple"': ["apple"],
        '"apple red"': ["fox"],
        '"red app"': [],  # in quotes words are whole
        "app*": ["fox", "apple"],
        "3d": ["fox"],
        "apple-red": ["fox"],
        "creme BRULEE": ["cream"],
        "strasse": ["cream"],
        "100%": ["cream"],
        "ふくろう": ["owl"],
        "月夜": [],
        '"red apple': ["apple"],  # not closed yet
        "“red apple” lantern": ["apple"],
        "lantern fox": [],
        "!!!": [],
        '""': [],
    }
    assert {query: found(query) for query in expected} == expected


def test_title_and_description_count_and_changes_are_found(make, member):
    image = make("an owl", title="Dusk", alt="branch")
    assert (found("dusk"), found("branch"), found("owl")) == (["Dusk"],) * 3
    update_image(member, image, ImageChanges(title="Dawn"))
    assert (found("dusk"), found("dawn"), found("branch owl")) == ([], ["Dawn"], ["Dawn"])
    update_image(member, image, ImageChanges(licence="CC0"))
    assert found("dawn") == ["Dawn"]


def test_a_picture_that_goes_takes_its_words_along(make):
    make("an owl").delete()
    assert found("owl") == []
    assert not SearchDocument.objects.exists()


@pytest.mark.parametrize(
    "query",
    ["'", '"', '"""', "a AND", "NOT owl", "owl OR", "NEAR(owl)", "text:owl", "owl^2", "{owl}", "(owl", "owl)", "-owl",
     "owl & !x", "owl <-> x", "a:*", "%", "\\", "; DROP TABLE gallery_image", "* " * 200, "owl " * 120, "x" * 500,
     " ".join(f"w{number}" for number in range(120)), "🦉", "\u0301", "½ ² ٣", "owl\\'", "''owl''", "$$", "%s %(x)s"],
)  # fmt: skip
def test_no_query_is_an_error(make, query):
    make("an owl", title="owl")
    assert found(query) in ([], ["owl"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_what_a_text_is_finds_it(db, text):
    """Every text is found by itself, as words and as a phrase, and none is an error."""
    Image.objects.all().delete()
    image = Image.objects.create(source="uploaded", sha256="0" * 64, format="png", bytes=1, width=1, height=1)
    SearchDocument.objects.create(id=1, image=image, text=document_of(text))
    quoted = '"' + text.replace('"', " ") + '"'
    for query in (text, quoted):
        assert Image.objects.search(query).exists() is bool(phrases_of(query))


def test_newest_first_and_pages_without_gaps(make):
    now = timezone.now()
    ages = [3, 1, 2, 2, 2, 5, 0]  # some of one moment, and entered in no order
    for number, age in enumerate(ages):
        make("an owl", title=f"{age}", created_at=now - timedelta(hours=age), seed=number)
    titles, cursor = [], None
    while True:
        page = PageParameters(cursor=cursor, limit=2)
        images, cursor = paginate(Image.objects.search("owl"), page, FOUND_NEWEST)
        titles += [image.title for image in images]
        if cursor is None:
            break
    assert titles == sorted(titles) == sorted(map(str, ages))


def test_rebuilding_makes_up_for_what_went_past_the_services(make, capsys):
    image, other = make("an owl", title="one"), make("a fox", title="two")
    Image.objects.filter(pk=image.pk).update(title="three")
    SearchDocument.objects.filter(image=other).delete()
    call_command("rebuild_search")
    assert capsys.readouterr().out == "2 pictures can be searched.\n"
    assert (found("one"), found("three owl"), found("fox")) == ([], ["three"], ["two"])


def test_a_document_tells_nothing_twice():
    assert document_of("An owl", "an owl, 3d", "an owl 3D style") == "an owl 3d style"
    assert document_of("Owl", "Owl", "") == "owl"
    assert document_of("Owl", "a fox") == "owl a fox"
