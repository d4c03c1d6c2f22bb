"""Making pictures from the page: with and without a script, and nothing lost on a mistake."""

import re
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gallery.models import Generation, Rating, Visibility
from gallery.tests.makers import make_generation, make_lora, make_model
from gallery.views.sizes import size_presets

HTMX = {"HX-Request": "true"}
CREATE_QUERIES = 20


@pytest.fixture
def maker(client, member, model):
    client.force_login(member)
    return client


def only(maker: Client, **fields: object) -> Generation:
    """Posts the form and returns the one generation that came of it."""
    response = maker.post("/create", {"prompt": "an owl", **fields})
    assert response.status_code == 302, response.content.decode()
    generation = Generation.objects.get()
    assert response["Location"] == f"/create?generation={generation.pk}"
    return generation


def value(page: str, name: str) -> str:
    """What a field of the form holds."""
    tag = re.search(rf'<(?:input|textarea)[^>]*\bname="{name}"[^>]*>([^<]*)', page)
    held = re.search(r'value="([^"]*)"', tag.group(0))
    return held.group(1) if held else tag.group(1)


def chosen(page: str, name: str) -> list[str]:
    selects = re.findall(rf'<select[^>]*\bname="{name}".*?</select>', page, re.S)
    return ["".join(re.findall(r'<option value="([^"]*)"[^>]*selected', select)) for select in selects]


# Who -----------------------------------------------------------------------------------------------------------------


def test_who_may_create(client, model, member, operator, guest):
    assert client.get("/create")["Location"] == "/accounts/login/?next=/create"
    statuses = []
    for person in (member, operator, guest):
        client.force_login(person)
        statuses.append((client.get("/create").status_code, client.post("/create", {"prompt": "x"}).status_code))
    assert statuses == [(200, 302), (200, 302), (403, 403)]
    assert Generation.objects.count() == 2


# Asking --------------------------------------------------------------------------------------------------------------


def test_a_prompt_is_enough(maker, model, member):
    made = only(maker)
    assert (made.prompt, made.model, made.created_by, made.status) == ("an owl", model, member, "queued")
    assert (made.width, made.height, made.steps, made.sampler, made.upscale) == (128, 96, 12, "Euler", 4)
    assert made.visibility == Visibility.PRIVATE


def test_everything_can_be_said(maker):
    make_lora("paper"), make_lora("ink")
    made = only(
        maker, negative_prompt="fog", width=256, height=192, steps=9, guidance=0, sampler="DDIM", seed=0, count=3,
        upscale=1, visibility="unlisted", lora=["paper", "", "ink"], weight=["0.5", "", ""],
    )  # fmt: skip
    assert (made.negative_prompt, made.width, made.height, made.steps) == ("fog", 256, 192, 9)
    assert (made.guidance, made.seed, made.count, made.upscale) == (0, 0, 3, 1)
    assert (made.sampler, made.visibility) == ("DDIM", "unlisted")
    assert [(use.lora.slug, use.weight) for use in made.lora_uses] == [("paper", 0.5), ("ink", 0.8)]


def test_without_a_script_defaults_follow_the_model(maker, model):
    other = make_model("other", width=512, height=512, steps=30, guidance=7, upscale=1)
    shown = {"width": 128, "height": 96, "steps": 40, "guidance": 5.5, "sampler": "Euler", "upscale": 4}
    made = only(maker, model="other", for_model=model.slug, **shown)
    assert made.model == other
    assert (made.width, made.height, made.guidance, made.upscale) == (512, 512, 7, 1)
    assert made.steps == 40  # this one had been set by hand


@pytest.mark.parametrize(
    ("field", "given", "sentence"),
    [
        ("prompt", "  ", "Prompt is empty; say what the picture shows."),
        ("width", "2056", "Width is 2056; it must be from 64 to 2048."),
        ("width", "100", "Width is 100; it must be a multiple of 8."),
        ("steps", "151", "Steps is 151; it must be from 1 to 150."),
        ("steps", "many", "Enter a whole number."),
        ("guidance", "31", "Guidance is 31.0; it must be from 0 to 30."),
        ("guidance", "nan", "Enter a number."),
        ("count", "17", "Count is 17; it must be from 1 to 16."),
        ("seed", "4294967296", "Seed is 4294967296; it must be from 0 to 4294967295."),
        ("sampler", "Magic", "Sampler is &#x27;Magic&#x27;; choose from"),
        ("model", "nonsense", "There is no model named &#x27;nonsense&#x27;."),
        ("upscale", "3", "Upscale is 3; choose from 1, 2, 4."),
        ("init_image", "x", "There is no such picture, or it isn&#x27;t yours to use."),
        ("visibility", "everywhere", "everywhere is not one of the available choices."),
    ],
)
def test_a_mistake_is_told_beside_its_field_and_nothing_is_lost(maker, field, given, sentence):
    fields = {"prompt": "an <owl>", "negative_prompt": "fog & rain", "steps": "33", "seed": "7", field: given}
    response = maker.post("/create", fields)
    page = response.content.decode()
    assert response.status_code == 422
    assert sentence in page
    assert not Generation.objects.exists()
    if field != "prompt":
        assert "an &lt;owl&gt;</textarea>" in page
    assert "fog &amp; rain</textarea>" in page
    if field not in ("steps", "seed"):
        assert (value(page, "steps"), value(page, "seed")) == ("33", "7")
    if field in ("steps", "seed", "width", "count", "guidance"):
        assert value(page, field) == given
        assert re.search(rf'<input id="{field}"[^>]*aria-invalid="true" aria-describedby="{field}-error"', page)


def test_a_misfit_lora_is_told_with_its_reason(maker):
    make_lora("big", name="Big", family="sdxl", cross_attention_dim=2048)
    response = maker.post("/create", {"prompt": "an owl", "lora": ["big"], "weight": ["0.8"]})
    page = response.content.decode()
    assert response.status_code == 422
    assert re.search(r'id="loras-error"[^>]*>.*?SDXL', page, re.S | re.I)
    assert chosen(page, "lora")[0] == "big"


def test_a_weight_that_is_no_number(maker):
    make_lora("paper")
    page = maker.post("/create", {"prompt": "an owl", "lora": ["paper"], "weight": ["heavy"]}).content.decode()
    assert "The weight of paper is &#x27;heavy&#x27;; it must be a number." in page


def test_too_many_at_once_is_told(maker, settings):
    settings.GENERATIONS_PER_MINUTE = 1
    maker.post("/create", {"prompt": "an owl"})
    response = maker.post("/create", {"prompt": "another owl"})
    assert response.status_code == 429
    assert "No more than 1 a minute can be asked for. Try again in" in response.content.decode()
    assert "another owl</textarea>" in response.content.decode()


def test_another_row_without_a_script(maker):
    make_lora("paper")
    fields = {"prompt": "an owl", "lora": ["paper"], "weight": ["0.5"], "more_rows": "1"}
    response = maker.post("/create", fields)
    assert response.status_code == 200
    assert chosen(response.content.decode(), "lora") == ["paper", ""]
    assert not Generation.objects.exists()


def test_someone_elses_private_picture_is_no_start(maker, stranger, model, picture):
    secret = picture(owner=stranger, generation=None, index=None, alt="a very secret owl")
    assert "a very secret owl" not in maker.get(f"/create?init_image={secret.pk}").content.decode()
    assert maker.post("/create", {"prompt": "an owl", "init_image": str(secret.pk)}).status_code == 422


# With a script -------------------------------------------------------------------------------------------------------


def test_htmx_gets_a_card_that_polls(maker):
    response = maker.post("/create", {"prompt": "an owl"}, headers=HTMX)
    generation = Generation.objects.get()
    page = response.content.decode()
    assert response.status_code == 200
    assert page.strip().startswith("<article")
    assert f'hx-get="/generations/{generation.pk}/card"' in page
    assert "Next in the queue, ready in about" in page


def test_htmx_gets_the_form_back_on_a_mistake(maker):
    response = maker.post("/create", {"prompt": "an owl", "steps": "0"}, headers=HTMX)
    assert response.status_code == 422
    assert (response["HX-Retarget"], response["HX-Reswap"]) == ("#create-form", "outerHTML")
    assert response.content.decode().strip().startswith("<form")


# State in the address ------------------------------------------------------------------------------------------------


def test_the_address_fills_the_form(maker):
    make_lora("paper"), make_lora("ink")
    address = (
        "/create?prompt=an+owl&steps=33&seed=0&guidance=0&count=4&sampler=DDIM&lora=paper&weight=0.5&lora=ink&weight="
    )
    page = maker.get(address).content.decode()
    assert "an owl</textarea>" in page
    assert [value(page, name) for name in ("steps", "seed", "guidance", "count")] == ["33", "0", "0", "4"]
    assert chosen(page, "sampler") == ["DDIM"]
    assert chosen(page, "lora") == ["paper", "ink", ""]


def test_a_generation_and_a_picture_fill_the_form(maker, member, model, picture):
    generation = make_generation(member, model, [(make_lora("paper"), -0.5)], seed=99, guidance=0)
    image = picture(generation=generation, index=0)
    for address in (f"/create?generation={generation.pk}", f"/create?like={image.pk}"):
        page = maker.get(address).content.decode()
        assert "an owl under a lantern</textarea>" in page
        assert (value(page, "seed"), value(page, "guidance"), value(page, "weight")) == ("99", "0.0", "-0.5")
        assert value(maker.get(f"{address}&seed=").content.decode(), "seed") == ""


def test_what_is_not_ones_own_fills_nothing(maker, stranger, model, picture):
    other = make_generation(stranger, model, prompt="a private thought")
    secret = picture(owner=stranger, generation=other, index=0)
    assert "a private thought" not in maker.get(f"/create?generation={other.pk}").content.decode()
    assert maker.get(f"/create?like={secret.pk}").status_code == 404
    assert maker.get("/create?generation=nonsense&like=nonsense&init_image=nonsense").status_code == 200


def test_the_form_knows_the_models(maker, model):
    make_model("broken", reason="Its files are gone.")
    make_model("off", enabled=False)
    page = maker.get("/create").content.decode()
    assert re.findall(r'<option value="([^"]+)"\s+data-family', page) == ["tiny"]
    for attribute in ('data-width="128"', 'data-steps="12"', 'data-guidance="5.5"', 'data-upscale="4"'):
        assert attribute in page
    assert (value(page, "width"), value(page, "height"), value(page, "for_model")) == ("128", "96", "tiny")


def test_without_any_model_the_page_says_so(client, member):
    client.force_login(member)
    assert "No model is ready" in client.get("/create").content.decode()


@pytest.mark.parametrize(("side", "step"), [(128, 8), (512, 64), (1024, 64)])
def test_presets_keep_the_models_area(db, side, step):
    for preset in size_presets(make_model("sized", width=side, height=side)):
        assert preset.width % step == preset.height % step == 0
        assert 0.7 < preset.width * preset.height / side**2 < 1.3


# Cards ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(member, model, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return make_generation(member, model, status="running", done=3, total=24, count=2, message="Step 3 of 12")


def card(maker, generation, **headers):
    return maker.get(f"/generations/{generation.pk}/card", headers=HTMX)


def test_a_card_of_a_running_job(maker, running):
    page = card(maker, running).content.decode()
    assert '<progress max="24" value="3"' in page
    assert "Step 3 of 12" in page
    assert "3 of 24 steps" in page
    assert 'hx-trigger="every 1s"' in page
    assert f"/generations/{running.pk}/preview" not in page
    running.preview_path.parent.mkdir()
    running.preview_path.write_bytes(b"\xff\xd8preview")
    address = re.search(r'src="(/generations/[^"]+/preview[^"]*)"', card(maker, running).content.decode()).group(1)
    response = maker.get(address)
    assert (response["Content-Type"], response.content) == ("image/jpeg", b"\xff\xd8preview")


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_polling_ends_with_the_job(maker, member, model, status):
    generation = make_generation(member, model, status=status, error="The disk is full." if status == "failed" else "")
    response = card(maker, generation)
    page = response.content.decode()
    assert "hx-trigger" not in page
    assert response["HX-Trigger"] == "queueChanged"
    assert f"/generations/{generation.pk}/cancel" not in page
    assert ("The disk is full." in page) is (status == "failed")


def test_without_a_script_the_page_refreshes_while_its_job_runs(maker, running):
    page = maker.get(f"/create?generation={running.pk}").content.decode()
    assert '<noscript><meta http-equiv="refresh"' in page
    assert '<meta http-equiv="refresh"' not in maker.get("/create").content.decode()
    assert maker.get(f"/generations/{running.pk}/card")["Location"] == f"/create?generation={running.pk}"


def test_cards_are_ones_own(client, running, stranger, operator, guest):
    pages = [f"/generations/{running.pk}/{page}" for page in ("card", "preview")]
    running.preview_path.parent.mkdir()
    running.preview_path.write_bytes(b"preview")
    statuses = {}
    for person in (stranger, guest, operator):
        client.force_login(person)
        statuses[person.name] = [client.get(page, headers=HTMX).status_code for page in pages]
        assert client.post(f"/generations/{uuid4()}/cancel").status_code == 404
    assert statuses == {"Stranger": [404, 404], "Guest": [404, 404], "Operator": [200, 200]}
    client.logout()
    assert [client.get(page).status_code for page in pages] == [302, 302]


def test_cancelling(maker, member, model, running, stranger):
    waiting = make_generation(member, model, status="queued")
    page = maker.post(f"/generations/{waiting.pk}/cancel", headers=HTMX).content.decode()
    assert 'data-status="cancelled"' in page
    assert "Stopping" in maker.post(f"/generations/{running.pk}/cancel", headers=HTMX).content.decode()
    ended = make_generation(member, model)
    said = maker.post(f"/generations/{ended.pk}/cancel", follow=True).content.decode()
    assert "It had ended already." in said
    other = make_generation(stranger, model, status="queued")
    assert maker.post(f"/generations/{other.pk}/cancel").status_code == 404
    other.refresh_from_db()
    assert other.status == "queued"


def test_a_finished_card_offers_what_comes_next(maker, member, generation, picture):
    image = picture(index=0)
    page = card(maker, generation).content.decode()
    for act in ("publish", "trash"):
        assert f'hx-post="/images/{image.pk}/{act}"' in page
    page = maker.post(f"/images/{image.pk}/publish", {"visibility": "public", "rating": "safe"}, headers=HTMX)
    assert f'hx-post="/images/{image.pk}/unpublish"' in page.content.decode()
    image.refresh_from_db()
    assert (image.visibility, image.rating) == (Visibility.PUBLIC, Rating.SAFE)
    page = maker.post(f"/images/{image.pk}/trash", headers=HTMX).content.decode()
    assert f'hx-post="/images/{image.pk}/restore"' in page
    assert (
        f'hx-post="/images/{image.pk}/trash"'
        in maker.post(f"/images/{image.pk}/restore", headers=HTMX).content.decode()
    )


def test_positions_are_ones_turn(maker, member, stranger, model):
    for person in (stranger, stranger, member):
        make_generation(person, model, status="queued")
    mine = Generation.objects.get(created_by=member)
    assert "Position 2 in the queue" in card(maker, mine).content.decode()


# Queue ---------------------------------------------------------------------------------------------------------------


def test_the_header_counts_ones_own_jobs(maker, member, stranger, model):
    assert "count-badge" not in maker.get("/").content.decode()
    for person, status in ((member, "queued"), (member, "running"), (member, "failed"), (stranger, "queued")):
        make_generation(person, model, status=status)
    assert 'title="1 running, 1 waiting">2<' in maker.get("/queue/badge").content.decode()


def test_the_panel_lists_and_cancels(maker, member, stranger, model):
    mine = make_generation(member, model, status="queued", prompt="my own owl")
    make_generation(stranger, model, status="queued", prompt="a private thought")
    page = maker.get("/queue", headers=HTMX).content.decode()
    assert "my own owl" in page
    assert "a private thought" not in page
    assert "<html" in maker.get("/queue").content.decode()
    page = maker.post(f"/generations/{mine.pk}/cancel", {"panel": "1"}, headers=HTMX).content.decode()
    assert "Nothing is waiting or running." in page


def test_pages_with_cards_cost_the_same_with_one_and_with_three(maker, member, model, picture):
    def add(number: int) -> None:
        generation = make_generation(member, model, [(make_lora(f"lora{number}"), 1)])
        picture(generation=generation, index=0)
        make_generation(member, model, status="queued")

    add(0)
    costs = []
    for number in (1, 2, 3):
        for address in ("/create", "/queue"):
            maker.get(address)
            with CaptureQueriesContext(connection) as made:
                maker.get(address)
            costs.append(len(made))
        add(number)
    assert costs[0::2] == [costs[0]] * 3
    assert costs[1::2] == [costs[1]] * 3
    assert max(costs) <= CREATE_QUERIES
