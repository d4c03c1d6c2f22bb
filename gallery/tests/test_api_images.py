from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from gallery.models import Image, Rating, Visibility
from gallery.tests.makers import make_generation, make_lora, make_model
from imagineer.models import Event
from tests.people import Api, field_errors

PUBLIC = {"visibility": Visibility.PUBLIC, "rating": Rating.SAFE}
SHAPE = {
    "id", "page_url", "file_url", "thumbnail_url", "width", "height", "format", "bytes", "sha256", "source",
    "visibility", "rating", "title", "alt", "caption", "tags", "seed", "owner", "generation", "licence", "author",
    "created_at",
}  # fmt: skip


def ids(response):
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


def statuses(path, *people):
    return [Api(person).get(path).status_code for person in people]


# Seeing -----------------------------------------------------------------------------------------------------


def test_a_picture_tells_what_the_contract_promises(member, picture):
    image = picture(title="Owl", alt="An owl", seed=0)
    body = Api(member).get(f"/images/{image.pk}").json()
    assert set(body) == SHAPE
    assert (body["title"], body["seed"], body["format"], body["tags"]) == ("Owl", 0, "png", [])
    assert body["owner"] == {"id": str(member.pk), "name": "Member"}
    assert "member@example.org" not in str(body)
    assert body["page_url"] == f"/images/{image.pk}"
    for url in (body["file_url"], body["thumbnail_url"]):
        assert Api(member).get(url).status_code == 200


@pytest.mark.parametrize("part", ["", "/file", "/thumbnail", "/lineage", "/parameters"])
def test_who_opens_what(member, stranger, operator, picture, part):
    private = picture()
    unrated = picture(visibility=Visibility.PUBLIC)
    unlisted = picture(visibility=Visibility.UNLISTED, rating=Rating.SAFE)
    public = picture(**PUBLIC)
    trashed = picture(**PUBLIC, deleted_at=timezone.now())
    people = (member, operator, stranger, None)
    assert statuses(f"/images/{private.pk}{part}", *people) == [200, 200, 404, 404]
    assert statuses(f"/images/{unrated.pk}{part}", *people) == [200, 200, 404, 404]
    assert statuses(f"/images/{unlisted.pk}{part}", *people) == [200, 200, 200, 200]
    assert statuses(f"/images/{public.pk}{part}", *people) == [200, 200, 200, 200]
    assert statuses(f"/images/{trashed.pk}{part}", *people) == [404, 404, 404, 404]
    assert statuses(f"/images/nonsense{part}", *people) == [404, 404, 404, 404]


def test_who_finds_what_in_the_list(member, stranger, operator, picture):
    private = picture()
    picture(visibility=Visibility.UNLISTED, rating=Rating.SAFE)
    public = picture(**PUBLIC)
    theirs = picture(owner=stranger)
    explicit = picture(owner=stranger, visibility=Visibility.PUBLIC, rating=Rating.EXPLICIT)
    picture(deleted_at=timezone.now())
    assert ids(Api().get("/images")) == [str(public.pk)]
    assert len(ids(Api(member).get("/images"))) == 3
    assert str(private.pk) in ids(Api(member).get("/images"))
    assert ids(Api(stranger).get("/images")) == [str(explicit.pk), str(theirs.pk), str(public.pk)]
    assert len(ids(Api(operator).get("/images"))) == 4


def test_pictures_for_adults_are_listed_only_when_asked_for(member, stranger, operator, picture):
    image = picture(visibility=Visibility.PUBLIC, rating=Rating.EXPLICIT)
    for person in (stranger, operator):
        assert ids(Api(person).get("/images")) == []
        assert ids(Api(person).get("/images?rating=adult")) == []
        assert ids(Api(person).get("/images?rating=explicit")) == [str(image.pk)]
    assert ids(Api(member).get("/images")) == [str(image.pk)]
    assert Api().get("/images?rating=explicit").status_code == 403
    visitor = Api()
    session = visitor.session
    session["adult"] = True
    session.save()
    visitor.cookies["imagineer"] = session.session_key
    assert ids(visitor.get("/images")) == [str(image.pk)]


def test_a_ceiling_leaves_out_what_is_stronger_and_what_nobody_rated(member, picture):
    made = {rating: str(picture(rating=rating).pk) for rating in Rating.values}
    api = Api(member)
    assert ids(api.get("/images?rating=safe")) == [made["safe"]]
    assert set(ids(api.get("/images?rating=adult"))) == {made["safe"], made["suggestive"], made["adult"]}


def test_filters_find_what_they_say(member, stranger, model, picture):
    ink = make_lora("ink")
    other = make_generation(member, make_model("other"), loras=[(ink, 1.0)], prompt="a fox and an owl")
    fox = str(picture(generation=other, title="100% fox").pk)
    owl = str(picture(alt="on a_branch").pk)
    upload = str(picture(generation=None, source="uploaded", owner=stranger, **PUBLIC).pk)
    api = Api(member)
    expected = {
        "q=owl": [owl, fox],
        "q=OWL+fox": [fox],
        "q=100%25": [fox],
        "q=a_b": [owl],
        "q=nothing": [],
        "source=uploaded": [upload],
        "model=other": [fox],
        "lora=ink": [fox],
        "owner=me": [owl, fox],
        f"owner={stranger.pk}": [upload],
        "owner=nobody": [],
        "sort=old": [fox, owl, upload],
        "source=generated&lora=ink&q=fox": [fox],
        "model=": [],
    }
    assert {query: ids(api.get(f"/images?{query}")) for query in expected} == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("tag=x", "tag"),
        ("sort=best", "sort"),
        ("rating=unrated", "rating"),
        ("source=stolen", "source"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("q=" + "x" * 501, "q"),
        ("q=%00", "q"),
    ],
)
def test_filters_that_make_no_sense_are_refused(member, query, field):
    assert list(field_errors(Api(member).get(f"/images?{query}"))) == [field]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_list_costs_the_same_whatever_its_length(member, picture, rows, django_assert_num_queries):
    for _ in range(rows):
        picture()
    api = Api(member)
    api.get("/images")
    with django_assert_num_queries(3):
        assert len(ids(api.get("/images"))) == rows


# Pages ------------------------------------------------------------------------------------------------------


def pages(api, query):
    """All ids, page by page."""
    found, path = [], f"/images?{query}"
    while True:
        body = api.get(path).json()
        found.append([item["id"] for item in body["items"]])
        if body["next"] is None:
            return found
        path = f"/images?{query}&cursor={body['next']}"


@pytest.mark.parametrize("sort", ["new", "old", "random"])
def test_pages_hold_every_picture_once(member, picture, sort):
    moment = timezone.now()
    made = {str(picture(created_at=moment - timedelta(seconds=i // 3)).pk) for i in range(7)}
    found = pages(Api(member), f"sort={sort}&limit=3")
    assert [len(page) for page in found] == [3, 3, 1]
    assert {image_id for page in found for image_id in page} == made


def test_pages_stay_while_rows_come_and_go(member, picture):
    made = [picture() for _ in range(4)]
    api = Api(member)
    first = api.get("/images?limit=2").json()
    picture()
    made[3].delete()  # the first of the first page
    rest = ids(api.get(f"/images?limit=2&cursor={first['next']}"))
    assert rest == [str(made[1].pk), str(made[0].pk)]


def test_the_last_page_of_exactly_the_limit_has_no_next(member, picture):
    picture(), picture()
    assert Api(member).get("/images?limit=2").json()["next"] is None


@pytest.mark.parametrize(
    "cursor", ["x", "", "%00", "é", "W10", "WzEsMiwzXQ", "WyJuZXciLCJ4IiwieSJd", "A" * 5000, "bmV3"]
)
def test_a_malformed_cursor_is_refused(member, cursor):
    assert list(field_errors(Api(member).get(f"/images?cursor={cursor}"))) == ["cursor"]


def test_a_cursor_of_another_order_is_refused(member, picture):
    picture(), picture()
    api = Api(member)
    cursor = api.get("/images?limit=1").json()["next"]
    for sort in ("old", "random"):
        assert list(field_errors(api.get(f"/images?sort={sort}&cursor={cursor}"))) == ["cursor"]


# Changing ---------------------------------------------------------------------------------------------------


def patch(user, image, **body):
    return Api(user).send(f"/images/{image.pk}", body, method="patch")


def test_its_owner_describes_it(member, picture):
    image = picture()
    texts = {"title": "Owl", "alt": "An owl", "licence": "CC BY 4.0", "author": "M."}
    body = patch(member, image, **texts).json()
    assert {name: body[name] for name in texts} == texts
    assert patch(member, image, title="", alt=None).json() | {"title": ""} == body | {"title": ""}
    assert Event.objects.filter(verb="update").count() == 2


@pytest.mark.parametrize(("field", "limit"), [("title", 200), ("alt", 500), ("licence", 200), ("author", 200)])
def test_texts_have_limits(member, picture, field, limit):
    image = picture()
    assert list(field_errors(patch(member, image, **{field: "x" * (limit + 1)}))) == [field]
    assert patch(member, image, **{field: "x" * limit}).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", 1), ("sha256", "0" * 64), ("is_public", True), ("rating_locked", False), ("title", 7),
        ("visibility", "secret"), ("rating", "unrated"), ("rating", "fine"), ("title", "nul \0"),
    ],
)  # fmt: skip
def test_what_cant_be_set_is_refused(member, picture, field, value):
    image = picture()
    assert list(field_errors(patch(member, image, **{field: value}))) == [field]
    assert not Event.objects.filter(verb="update").exists()


def test_who_may_change_it(member, stranger, operator, guest, picture):
    private, public = picture(), picture(**PUBLIC)
    for method, status in (("patch", 200), ("delete", 204)):
        for image, of_stranger in ((private, 404), (public, 403)):
            path = f"/images/{image.pk}"
            assert Api(stranger).send(path, {}, method=method).status_code == of_stranger
            assert Api().send(path, {}, method=method).status_code == 401
            assert Api(member, "read", "generate").send(path, {}, method=method).status_code == 403
            assert Api(operator).send(path, {}, method=method).status_code == status
            if method == "delete":
                assert Api(operator).post(f"{path}/restore").status_code == 200


@pytest.mark.parametrize("visibility", ["public", "unlisted"])
def test_publishing_is_the_owners_word_that_it_is_safe(member, stranger, picture, visibility):
    image = picture()
    body = patch(member, image, visibility=visibility).json()
    assert (body["visibility"], body["rating"]) == (visibility, "safe")
    assert Image.objects.get().rating_source == "owner"
    assert statuses(f"/images/{image.pk}", stranger, None) == [200, 200]


def test_another_rating_in_the_same_act_wins(member, picture):
    body = patch(member, picture(), visibility="public", rating="adult").json()
    assert (body["visibility"], body["rating"]) == ("public", "adult")


def test_publishing_keeps_a_rating_that_is_there(member, picture):
    image = picture(rating=Rating.EXPLICIT, rating_source="labeler")
    assert patch(member, image, visibility="public").json()["rating"] == "explicit"
    assert Image.objects.get().rating_source == "labeler"


def test_an_operators_rating_stands(member, operator, picture):
    image = picture(**PUBLIC)
    patch(operator, image, rating="adult")
    image.refresh_from_db()
    assert (image.rating, image.rating_source, image.rating_locked) == ("adult", "operator", True)
    refused = patch(member, image, rating="safe", title="new")
    assert refused.status_code == 409
    image.refresh_from_db()
    assert (image.rating, image.title) == ("adult", "")
    assert patch(member, image, visibility="private").status_code == 200
    assert patch(operator, image, rating="safe").json()["rating"] == "safe"


def test_the_trash_hides_and_gives_back(member, operator, stranger, picture):
    image = picture(**PUBLIC)
    api, path = Api(member), f"/images/{image.pk}"
    assert api.delete(path).status_code == 204
    assert statuses(path, member, operator, None) == [404, 404, 404]
    assert ids(api.get("/images")) == []
    assert api.delete(path).status_code == 404
    assert Api(stranger).post(f"{path}/restore").status_code == 404
    assert Api().post(f"{path}/restore").status_code == 401
    assert [api.post(f"{path}/restore").status_code for _ in range(2)] == [200, 200]
    assert ids(api.get("/images")) == [str(image.pk)]
    verbs = ["trash", "restore"]
    assert list(Event.objects.filter(verb__in=verbs).order_by("id").values_list("verb", flat=True)) == verbs


def test_after_thirty_days_the_trash_gives_nothing_back(member, picture):
    image = picture(deleted_at=timezone.now() - timedelta(days=30, minutes=1))
    assert Api(member).post(f"/images/{image.pk}/restore").status_code == 409


# Where it comes from ----------------------------------------------------------------------------------------


def test_lineage_goes_back_to_model_loras_and_start_and_on_to_its_uses(member, model, picture):
    ink = make_lora("ink")
    start = picture()
    step = make_generation(member, model, loras=[(ink, 0.7)], init_image=start, strength=0.4)
    image = picture(generation=step)
    result = picture(generation=make_generation(member, model, init_image=image, rerun_of=step, verdict="near"))
    body = Api(member).get(f"/images/{image.pk}/lineage").json()
    assert body["image"]["id"] == str(image.pk)
    assert body["generation"]["id"] == str(step.pk)
    assert (body["model"]["slug"], body["model"]["sha256"]) == ("tiny", "a" * 64)
    assert [(lora["slug"], lora["weight"]) for lora in body["loras"]] == [("ink", 0.7)]
    assert body["init_image"]["id"] == str(start.pk)
    assert [used["id"] for used in body["used_in"]] == [str(result.pk)]
    later = Api(member).get(f"/images/{result.pk}/lineage").json()["generation"]
    assert (later["rerun_of"], later["verdict"]) == (str(step.pk), "near")


def test_lineage_shows_strangers_only_what_they_may_see(member, stranger, model, picture):
    start = picture(title="hidden start")
    step = make_generation(member, model, init_image=start, strength=0.4)
    image = picture(generation=step, **PUBLIC)
    picture(generation=make_generation(member, model, init_image=image), title="hidden result")
    for person in (stranger, None):
        response = Api(person).get(f"/images/{image.pk}/lineage")
        assert (response.json()["init_image"], response.json()["used_in"]) == (None, [])
        assert b"hidden" not in response.content


def test_a_picture_without_a_generation_has_a_short_lineage(member, picture):
    image = picture(generation=None, source="uploaded")
    body = Api(member).get(f"/images/{image.pk}/lineage").json()
    assert (body["generation"], body["model"], body["loras"], body["init_image"]) == (None, None, [], None)
    assert Api(member).get(f"/images/{image.pk}/parameters").status_code == 404


@pytest.mark.parametrize("rows", [1, 3])
def test_lineage_costs_the_same_whatever_its_length(member, model, picture, rows, django_assert_num_queries):
    image = picture(generation=make_generation(member, model, init_image=picture(), strength=0.5))
    for index in range(rows):
        loras = [(make_lora(f"l{index}-{i}"), 1.0) for i in range(rows)]
        picture(generation=make_generation(member, model, loras=loras, init_image=image))
    api = Api(member)
    api.get("/images")
    with django_assert_num_queries(7):
        assert len(api.get(f"/images/{image.pk}/lineage").json()["used_in"]) == rows


def test_parameters_as_json_and_as_text(member, model, picture):
    ink = make_lora("ink", tensors_sha256="c" * 64)
    step = make_generation(member, model, loras=[(ink, 0.5)], negative_prompt="blurry", upscale=4)
    image = picture(generation=step, seed=42)
    body = Api(member).get(f"/images/{image.pk}/parameters").json()
    parameters = body["parameters"]
    assert (parameters["prompt"], parameters["seed"]) == ("an owl under a lantern", 42)
    assert parameters["loras"] == [{"name": "ink", "weight": 0.5, "hash": "c" * 64, "sha256": ink.sha256}]
    assert body["text"].splitlines()[:2] == ["an owl under a lantern <lora:ink:0.5>", "Negative prompt: blurry"]
    assert "Seed: 42, Size: 128x96" in body["text"]


def test_sessions_may_do_what_tokens_may(member, picture):
    image = picture()
    client = Client()
    client.force_login(member)
    response = client.patch(f"/api/v1/images/{image.pk}", {"title": "Owl"}, content_type="application/json")
    assert response.json()["title"] == "Owl"
