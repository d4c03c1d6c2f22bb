import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from gallery.models import Generation, Image, Rating, Visibility
from gallery.tests.makers import make_generation, make_lora, make_model
from imagineer.models import Event
from imagineer.runs import RunStatus
from tests.people import Api, field_errors

pytestmark = pytest.mark.django_db
RUN_FIELDS = {
    "id", "status", "stage", "message", "done", "total", "attempt", "position", "eta_seconds", "error", "created_at",
    "started_at", "finished_at", "created_by", "links",
}  # fmt: skip
REQUEST_FIELDS = {
    "prompt", "negative_prompt", "model", "width", "height", "steps", "guidance", "sampler", "seed", "count", "loras",
    "init_image", "strength", "upscale", "visibility",
}  # fmt: skip


def post(user, **body):
    return Api(user).send("/generations", {"prompt": "an owl", **body})


def assert_nothing_queued():
    assert not Generation.objects.exists()
    assert not OrmQ.objects.exists()


# Asking -----------------------------------------------------------------------------------------------------


def test_a_member_is_answered_at_once_with_the_place_to_look(member, model):
    response = post(member)
    body = response.json()
    assert response.status_code == 202
    assert set(body) == RUN_FIELDS | REQUEST_FIELDS | {"images", "parameters", "seconds", "rerun_of", "verdict"}
    assert response["Location"] == body["links"]["self"] == f"/api/v1/generations/{body['id']}"
    assert Api(member).get(response["Location"]).status_code == 200
    assert (body["status"], body["position"], body["images"], body["error"]) == ("queued", 1, [], None)
    assert body["eta_seconds"] > 0
    assert body["created_by"] == {"id": str(member.pk), "name": "Member"}
    assert body["created_at"].endswith("Z")
    assert OrmQ.objects.count() == 1
    assert Event.objects.get(verb="generate").target_id == body["id"]


def test_what_is_left_out_or_null_is_the_models(member, model):
    expected = {
        "prompt": "an owl",
        "negative_prompt": "",
        "model": "tiny",
        "width": 128,
        "height": 96,
        "steps": 12,
        "guidance": 5.5,
        "sampler": "Euler",
        "count": 1,
        "loras": [],
        "init_image": None,
        "strength": None,
        "upscale": 4,
        "visibility": "private",
    }
    nulls = dict.fromkeys(REQUEST_FIELDS - {"prompt"})
    for response in (post(member), post(member, **nulls)):
        parameters = response.json()["parameters"]
        assert 0 <= parameters.pop("seed") <= 4294967295
        assert parameters == expected


def test_zero_is_a_value(member, model):
    parameters = post(member, seed=0, guidance=0).json()["parameters"]
    assert (parameters["seed"], parameters["guidance"]) == (0, 0)


def test_the_parameters_of_an_answer_can_be_sent_again(member, model):
    make_lora("ink")
    first = post(member, prompt="  an owl <lora:ink:0.5>  ", seed=7, count=2, upscale=1).json()
    second = Api(member).send("/generations", first["parameters"]).json()
    assert second["parameters"] == first["parameters"]
    assert first["parameters"]["loras"] == [{"lora": "ink", "weight": 0.5}]
    assert first["prompt"] == "an owl"


EDGES = [
    ("prompt", "x" * 2000, "x" * 2001),
    ("prompt", "  x  ", "   "),
    ("negative_prompt", "x" * 2000, "x" * 2001),
    ("width", 64, 56),
    ("width", 2048, 2056),
    ("height", 64, 63),
    ("height", 2048, 2049),
    ("height", 128, 132),
    ("steps", 1, 0),
    ("steps", 150, 151),
    ("guidance", 0, -0.1),
    ("guidance", 30, 30.1),
    ("sampler", "DPM++ 2M Karras", "Sparkle"),
    ("seed", 0, -1),
    ("seed", 4294967295, 4294967296),
    ("count", 1, 0),
    ("count", 16, 17),
    ("upscale", 1, 0),
    ("upscale", 2, 3),
    ("upscale", 4, 8),
    ("visibility", "unlisted", "secret"),
    ("model", "tiny", "huge"),
]


@pytest.mark.parametrize(("field", "good", "bad"), EDGES)
def test_each_limit_holds_at_and_past_its_edge(member, model, field, good, bad):
    refused = field_errors(post(member, **{field: bad}))
    assert list(refused) == [field]
    assert_nothing_queued()
    accepted = post(member, **{field: good})
    assert accepted.status_code == 202
    assert accepted.json()["parameters"][field] == (good.strip() if isinstance(good, str) else good)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in ("width", "height", "steps", "seed", "count", "upscale")
          for value in ("12", 12.5, True, [12], {}, 10**400)),
        *((name, value) for name in ("guidance", "strength") for value in ("7", True, [7], {})),
        *((name, value) for name in ("prompt", "negative_prompt", "model", "sampler", "visibility", "init_image")
          for value in (12, True, ["x"], {}, "nul \0 here", "half \ud800 a pair")),
        ("prompt", None),
        ("prompt", ""),
        ("loras", "ink"),
        ("loras", {"lora": "ink"}),
        ("loras", ["ink"]),
        ("loras", [{"weight": 1}]),
        ("loras", [{"lora": "ink", "weight": "1"}]),
        ("loras", [{"lora": "ink", "strength": 1}]),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_never_guessed(member, model, field, value):
    refused = field_errors(post(member, **{field: value}))
    assert list(refused) == [field]
    assert_nothing_queued()


def test_whole_floats_are_numbers_where_fractions_are_allowed(member, model):
    assert post(member, guidance=7).json()["parameters"]["guidance"] == 7


def test_unknown_fields_are_refused_by_name(member, model):
    assert set(field_errors(post(member, cfg_scale=7, batch_size=2))) == {"cfg_scale", "batch_size"}
    assert_nothing_queued()


def test_everything_that_is_wrong_is_said_at_once(member, model):
    assert set(field_errors(post(member, width=63, steps=0, sampler="?", model="?"))) == {
        "width", "steps", "sampler", "model",
    }  # fmt: skip


def test_a_prompt_is_required(member, model):
    assert field_errors(Api(member).send("/generations", {})) == {"prompt": "is required."}


@pytest.mark.parametrize(
    ("loras", "reason"),
    [
        ([{"lora": "ink", "weight": 2.01}], "is 2.01; it must be from -2 to 2."),
        ([{"lora": "ink", "weight": -2.01}], "is -2.01; it must be from -2 to 2."),
        ([{"lora": "nothing"}], "there is no LoRA named 'nothing'."),
        ([{"lora": "off"}], "there is no LoRA named 'off'."),
        ([{"lora": "broken"}], "'broken' can't be used: Its file is damaged."),
        ([{"lora": "ink"}, {"lora": "ink"}], "the same LoRA is named twice."),
        ([{"lora": "xl"}], "This LoRA was made for"),
        ([{"lora": f"l{i}"} for i in range(9)], "9 were given; at most 8 are allowed."),
    ],
)
def test_loras_that_cant_be_used_are_refused_with_the_reason(member, model, loras, reason):
    make_lora("ink")
    make_lora("off", enabled=False)
    make_lora("broken", reason="Its file is damaged.")
    make_lora("xl", family="sdxl", cross_attention_dim=2048)
    for i in range(9):
        make_lora(f"l{i}")
    assert reason in field_errors(post(member, loras=loras))["loras"]
    assert_nothing_queued()


def test_eight_loras_at_the_edge_of_their_weights_are_fine(member, model):
    loras = [{"lora": make_lora(f"l{i}").slug, "weight": weight} for i, weight in enumerate([-2, 2, 0, 1, 1, 1, 1, 1])]
    assert post(member, loras=loras).json()["parameters"]["loras"] == loras


@pytest.mark.parametrize("fields", [{"enabled": False}, {"reason": "A file is missing."}])
def test_a_model_that_cant_be_used_is_refused(member, model, fields):
    make_model("broken", **fields)
    assert list(field_errors(post(member, model="broken"))) == ["model"]
    assert_nothing_queued()


def test_a_picture_to_start_from_must_be_visible(member, stranger, picture):
    own, secret = picture(), picture(owner=stranger)
    shared = picture(owner=stranger, visibility=Visibility.PUBLIC, rating=Rating.SAFE)
    gone = picture(deleted_at=timezone.now())
    Generation.objects.all().delete()
    for image_id in (str(secret.pk), str(gone.pk), "nonsense", "00000000-0000-7000-8000-000000000000"):
        assert list(field_errors(post(member, init_image=image_id))) == ["init_image"]
    assert_nothing_queued()
    for image in (own, shared):
        parameters = post(member, init_image=str(image.pk)).json()["parameters"]
        assert (parameters["init_image"], parameters["strength"]) == (str(image.pk), 0.6)


@pytest.mark.parametrize(("good", "bad"), [(0, -0.01), (1, 1.01)])
def test_strength_has_its_limits(member, picture, good, bad):
    image = picture()
    Generation.objects.all().delete()
    assert list(field_errors(post(member, init_image=str(image.pk), strength=bad))) == ["strength"]
    assert post(member, init_image=str(image.pk), strength=good).json()["strength"] == good


def test_strength_alone_is_refused(member, model):
    assert list(field_errors(post(member, strength=0.5))) == ["strength"]


def test_only_members_generate(guest, operator, member, model):
    assert post(guest).status_code == 403
    assert Client().post("/api/v1/generations", {}, content_type="application/json").status_code == 401
    assert_nothing_queued()
    assert post(operator).status_code == 202


def test_ten_a_minute_and_no_more(member, stranger, model, settings):
    settings.GENERATIONS_PER_MINUTE = 2
    assert [post(member).status_code for _ in range(3)] == [202, 202, 429]
    refused = post(member)
    assert 50 <= int(refused["Retry-After"]) <= 61
    assert refused["Content-Type"] == "application/problem+json"
    assert post(stranger).status_code == 202
    assert Generation.objects.count() == OrmQ.objects.count() == 3


# Looking ----------------------------------------------------------------------------------------------------


def test_a_run_belongs_to_whoever_asked_for_it(member, stranger, operator, generation):
    path = f"/generations/{generation.pk}"
    assert [Api(user).get(path).status_code for user in (member, operator, stranger)] == [200, 200, 404]
    assert Api().get(path).status_code == 401
    own = {user: len(Api(user).get("/generations").json()["items"]) for user in (member, operator, stranger)}
    assert own == {member: 1, operator: 1, stranger: 0}


@pytest.mark.parametrize("run_id", ["x", "1", "00000000-0000-7000-8000-000000000000", "a" * 500, "%00"])
def test_an_unknown_id_is_not_found(member, run_id):
    for path in ("", "/log", "/preview"):
        assert Api(make_operator(member)).get(f"/generations/{run_id}{path}").status_code == 404
    for verb in ("cancel", "rerun"):
        assert Api(member).post(f"/generations/{run_id}/{verb}").status_code == 404
    assert Api(member).get(f"/runs/{run_id}/events").status_code == 404


def make_operator(user):
    user.is_superuser = True
    user.save()
    return user


def test_the_detail_adds_pictures_in_their_order_without_the_trash(member, generation, picture):
    later, first = picture(index=1), picture(index=0)
    picture(index=2, deleted_at=timezone.now())
    Generation.objects.update(seconds=3.25)
    body = Api(member).get(f"/generations/{generation.pk}").json()
    assert [image["id"] for image in body["images"]] == [str(first.pk), str(later.pk)]
    assert body["seconds"] == 3.25
    assert (body["position"], body["eta_seconds"]) == (None, None)


def test_a_failed_run_says_why(member, model):
    generation = make_generation(member, model, status=RunStatus.FAILED, error="The disk is full.")
    assert Api(member).get(f"/generations/{generation.pk}").json()["error"] == "The disk is full."


def test_polling_with_an_etag_costs_nothing_until_something_changes(member, model):
    path = post(member).json()["links"]["self"]
    api = Api(member)
    etag = api.get(path)["ETag"]
    unchanged = api.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    Generation.objects.get().claim("worker")
    changed = api.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["status"]) == (200, "running")
    assert changed["ETag"] != etag


def test_positions_are_those_of_the_whole_queue(member, stranger, model):
    for user in (member, member, stranger):
        post(user)
    found = Api(member).get("/generations").json()["items"]
    assert sorted(item["position"] for item in found) in ([1, 2], [1, 3], [2, 3])
    assert all(item["eta_seconds"] > 0 for item in found)


def test_the_list_can_be_narrowed_to_a_status(member, model):
    make_generation(member, model, status=RunStatus.FAILED)
    make_generation(member, model)
    found = Api(member).get("/generations?status=failed").json()["items"]
    assert [item["status"] for item in found] == ["failed"]
    assert list(field_errors(Api(member).get("/generations?status=lost"))) == ["status"]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_list_costs_the_same_whatever_its_length(member, model, rows, django_assert_num_queries):
    lora = make_lora("ink")
    for _ in range(rows):
        make_generation(member, model, loras=[(lora, 1.0)], status=RunStatus.QUEUED)
    api = Api(member)
    api.get("/generations")
    with django_assert_num_queries(9):
        assert len(api.get("/generations").json()["items"]) == rows


@pytest.mark.parametrize("rows", [1, 3])
def test_a_detail_costs_the_same_however_many_pictures_it_has(
    member, generation, picture, rows, django_assert_num_queries
):
    for index in range(rows):
        picture(index=index)
    api = Api(member)
    api.get("/generations")
    with django_assert_num_queries(5):
        assert len(api.get(f"/generations/{generation.pk}").json()["images"]) == rows


# Ending and repeating ----------------------------------------------------------------------------------------


def test_cancelling_twice_is_fine(member, model):
    api = Api(member)
    path = post(member).json()["links"]["cancel"]
    answers = [api.post(path) for _ in range(2)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "cancelled")] * 2
    assert Event.objects.filter(verb="cancel").count() == 1


def test_a_running_one_is_asked_to_stop(member, model):
    path = post(member).json()["links"]["cancel"]
    Generation.objects.get().claim("worker")
    assert Api(member).post(path).status_code == 200
    assert Generation.objects.get().cancel_requested_at is not None


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_what_has_ended_cant_be_cancelled(member, model, status):
    generation = make_generation(member, model, status=status)
    refused = Api(member).post(f"/generations/{generation.pk}/cancel")
    assert refused.status_code == 409
    assert refused.json()["detail"] == f"This run has already {status}."


def test_only_its_owner_and_operators_cancel(member, stranger, operator, model):
    path = post(member).json()["links"]["cancel"]
    assert Api(stranger).post(path).status_code == 404
    assert Api().post(path).status_code == 401
    assert Generation.objects.get().status == RunStatus.QUEUED
    assert Api(operator).post(path).status_code == 200


def test_a_rerun_has_the_same_seed_and_remembers_the_first(member, generation):
    response = Api(member).post(f"/generations/{generation.pk}/rerun")
    body = response.json()
    assert response.status_code == 202
    assert (body["seed"], body["rerun_of"], body["verdict"]) == (41, str(generation.pk), None)
    assert response["Location"] == f"/api/v1/generations/{body['id']}"


def test_verifying_publishes_nothing(operator, member, model):
    shared = make_generation(member, model, visibility="public")
    assert Api(operator).post(f"/generations/{shared.pk}/rerun").status_code == 202
    assert Generation.objects.get(rerun_of=shared).visibility == "private"


def test_a_rerun_waits_for_the_end_and_is_its_owners(member, stranger, guest, model):
    waiting = make_generation(member, model, status=RunStatus.QUEUED)
    assert Api(member).post(f"/generations/{waiting.pk}/rerun").status_code == 409
    ended = make_generation(member, model)
    assert Api(stranger).post(f"/generations/{ended.pk}/rerun").status_code == 404
    theirs = make_generation(guest, model)
    assert Api(guest).post(f"/generations/{theirs.pk}/rerun").status_code == 403


def test_a_rerun_whose_picture_to_start_from_is_gone_is_refused(member, picture):
    start = picture()
    again = make_generation(member, start.generation.model, init_image=start, strength=0.5)
    Image.objects.update(deleted_at=timezone.now())
    assert list(field_errors(Api(member).post(f"/generations/{again.pk}/rerun"))) == ["init_image"]


# Watching ---------------------------------------------------------------------------------------------------


def test_the_log_is_for_operators(member, operator, generation, data_folder):
    path = f"/generations/{generation.pk}/log"
    assert Api(member).get(path).status_code == 403
    assert Api().get(path).status_code == 401
    assert Api(operator).get(path).json() == {"lines": []}
    log = data_folder / "logs" / "gallery.generation" / f"{generation.pk}.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {i}\n" for i in range(1, 301)))
    assert Api(operator).get(path).json()["lines"] == [f"line {i}" for i in range(101, 301)]
    assert Api(operator).get(f"{path}?tail=2").json()["lines"] == ["line 299", "line 300"]


@pytest.mark.parametrize("tail", ["0", "5001", "-1", "x", "1.5", ""])
def test_the_logs_tail_has_limits(operator, generation, tail):
    assert list(field_errors(Api(operator).get(f"/generations/{generation.pk}/log?tail={tail}"))) == ["tail"]


def test_the_preview_is_its_owners_while_it_forms(member, stranger, operator, model, data_folder):
    generation = make_generation(member, model, status=RunStatus.RUNNING)
    path = f"/generations/{generation.pk}/preview"
    assert Api(member).get(path).status_code == 204
    generation.preview_path.parent.mkdir()
    generation.preview_path.write_bytes(b"\xff\xd8 a preview")
    answer = Api(member).get(path)
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, "image/jpeg", b"\xff\xd8 a preview")
    assert answer["Cache-Control"] == "private, no-store"
    assert [Api(user).get(path).status_code for user in (operator, stranger)] == [200, 404]
    assert Api().get(path).status_code == 401
    Generation.objects.update(status=RunStatus.SUCCEEDED)
    assert Api(member).get(path).status_code == 204
