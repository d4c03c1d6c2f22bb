import pytest

from gallery.engine.samplers import SAMPLERS
from gallery.models import DiffusionModel
from gallery.services import themes
from gallery.tests.makers import make_lora, make_model
from tests.people import Api, field_errors

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/models", "/samplers", "/loras", "/themes/random"])
def test_everybody_may_look(member, operator, guest, path):
    assert [Api(person).get(path).status_code for person in (operator, member, guest, None)] == [200] * 4
    assert Api(member, "write").get(path).status_code == 403


def test_a_model_tells_its_defaults(model):
    (item,) = Api().get("/models").json()["items"]
    assert item["defaults"] == {
        "width": 128,
        "height": 96,
        "steps": 12,
        "guidance": 5.5,
        "sampler": "Euler",
        "upscale": 4,
    }
    assert (item["slug"], item["default"], item["available"], item["reason"]) == ("tiny", True, True, None)
    assert "location" not in item


def test_the_default_is_the_one_that_would_be_used(model):
    other = make_model("other")
    DiffusionModel.objects.filter(pk=model.pk).update(reason="A file is missing.")
    items = {item["slug"]: item for item in Api().get("/models").json()["items"]}
    assert (items["other"]["default"], items["tiny"]["default"]) == (True, False)
    assert (items["tiny"]["available"], items["tiny"]["reason"]) == (False, "A file is missing.")
    assert items["other"]["id"] == str(other.pk)


def test_what_is_switched_off_only_operators_see(member, operator, model):
    make_model("off", enabled=False)
    make_lora("off", enabled=False)
    for path in ("/models", "/loras"):
        slugs = [[item["slug"] for item in Api(who).get(path).json()["items"]] for who in (member, None, operator)]
        assert [("off" in found) for found in slugs] == [False, False, True]
    assert [Api(who).get("/loras/off").status_code for who in (member, None, operator)] == [404, 404, 200]
    assert Api(operator).get("/loras/off").json()["compatible"] is False


def test_samplers_are_those_that_requests_accept():
    body = Api().get("/samplers").json()
    assert [item["name"] for item in body["items"]] == list(SAMPLERS)
    assert body["next"] is None


def test_a_lora_says_whether_it_fits_and_why_not(model):
    ink = make_lora("ink", rank=8, alpha=4.0, trigger_words=["inkstyle"])
    make_lora("xl", family="sdxl", cross_attention_dim=2048)
    make_model("big", family="sdxl", cross_attention_dim=2048, modules={})
    items = {item["slug"]: item for item in Api().get("/loras").json()["items"]}
    assert (items["ink"]["compatible"], items["ink"]["reason"]) == (True, None)
    assert (items["ink"]["rank"], items["ink"]["trigger_words"]) == (8, ["inkstyle"])
    assert items["xl"]["compatible"] is False
    assert items["xl"]["reason"].startswith("This LoRA was made for")
    other = {item["slug"]: item["compatible"] for item in Api().get("/loras?model=big").json()["items"]}
    assert other == {"ink": False, "xl": True}
    assert Api().get(f"/loras/{ink.pk}").json() == Api().get("/loras/ink").json() == items["ink"]


def test_without_a_model_nothing_fits():
    make_lora("ink")
    (item,) = Api().get("/loras").json()["items"]
    assert (item["compatible"], item["reason"]) == (False, "There is no model to fit it to.")


def test_an_unknown_model_or_lora(model):
    assert list(field_errors(Api().get("/loras?model=nothing"))) == ["model"]
    for lora_id in ("nothing", "0", "9" * 30, "%00", "²"):
        assert Api().get(f"/loras/{lora_id}").status_code == 404


@pytest.mark.parametrize(("path", "make"), [("/models", make_model), ("/loras", make_lora)])
def test_their_lists_have_pages_too(model, path, make):
    made = {make(f"number-{i}").slug for i in range(5)} | ({"tiny"} if path == "/models" else set())
    found, cursor = [], ""
    while cursor is not None:
        body = Api().get(f"{path}?limit=2{cursor and f'&cursor={cursor}'}").json()
        found += [item["slug"] for item in body["items"]]
        cursor = body["next"]
    assert sorted(found) == sorted(made)
    assert list(field_errors(Api().get(f"{path}?cursor=x"))) == ["cursor"]


@pytest.mark.parametrize("rows", [1, 3])
def test_lists_cost_the_same_whatever_their_length(model, rows, django_assert_num_queries):
    for i in range(rows):
        make_lora(f"l{i}")
    with django_assert_num_queries(2):
        assert len(Api().get("/loras").json()["items"]) == rows
    for i in range(rows):
        make_model(f"m{i}")
    with django_assert_num_queries(2):
        assert len(Api().get("/models").json()["items"]) == rows + 1


def test_a_theme_is_made_of_our_words():
    body = Api().get("/themes/random").json()
    assert body["style"] in themes.STYLES
    assert body["place"] in themes.PLACES
    assert body["theme"] == f"{body['place']}, {body['light']}, {body['style']}, {body['palette']}"
    assert len({Api().get("/themes/random").json()["theme"] for _ in range(8)}) > 1
