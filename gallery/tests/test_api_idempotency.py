import json
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from gallery.models import Generation
from imagineer.models import IdempotencyKey
from imagineer.sweeper import sweep
from tests.people import Api, field_errors

pytestmark = pytest.mark.django_db
BODY = {"prompt": "an owl", "seed": 7}


def post(user, key, body=None, path="/generations"):
    return Api(user).send(path, BODY if body is None else body, Idempotency_Key=key)


def test_the_same_call_again_is_answered_the_same_and_creates_nothing(member, model):
    first, second = post(member, "k"), post(member, "k")
    assert (second.status_code, second["Location"], second.json()) == (202, first["Location"], first.json())
    assert second["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert Generation.objects.count() == OrmQ.objects.count() == 1


def test_the_first_answer_is_given_even_when_things_have_moved_on(member, model):
    first = post(member, "k").json()
    Generation.objects.get().claim("worker")
    assert post(member, "k").json() == first


def test_the_spelling_of_the_same_body_does_not_matter(member, model):
    first = post(member, "k").json()
    text = '{ "seed" : 7,\n "prompt":"an \\u006fwl" }'
    again = Api(member).post("/generations", text, content_type="application/json", headers={"Idempotency-Key": "k"})
    assert again.json() == first


@pytest.mark.parametrize("other", [{"prompt": "an owl"}, {"prompt": "an owl", "seed": 8}, {**BODY, "count": 1}])
def test_another_body_is_a_conflict(member, model, other):
    post(member, "k")
    refused = post(member, "k", other)
    assert (refused.status_code, refused["Content-Type"]) == (409, "application/problem+json")
    assert Generation.objects.count() == 1


def test_another_call_is_a_conflict(member, generation):
    post(member, "k")
    assert post(member, "k", path=f"/generations/{generation.pk}/rerun").status_code == 409


def test_a_refused_call_leaves_its_key_unused(member, model):
    assert post(member, "k", {"prompt": ""}).status_code == 422
    assert post(member, "k", {"prompt": "x", "model": "none"}).status_code == 422
    assert not IdempotencyKey.objects.exists()
    assert post(member, "k").status_code == 202


def test_a_refusal_for_haste_leaves_its_key_unused(member, model, settings):
    settings.GENERATIONS_PER_MINUTE = 1
    post(member, "a")
    assert post(member, "b").status_code == 429
    Generation.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    assert post(member, "b").status_code == 202


def test_a_replay_is_not_counted_against_the_rate(member, model, settings):
    settings.GENERATIONS_PER_MINUTE = 1
    assert [post(member, "k").status_code for _ in range(3)] == [202, 202, 202]


def test_keys_are_each_users_own(member, stranger, model):
    first, second = post(member, "k").json(), post(stranger, "k").json()
    assert first["id"] != second["id"]


def test_reruns_have_keys_too(member, generation):
    path = f"/generations/{generation.pk}/rerun"
    first, second = (Api(member).post(path, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert Generation.objects.count() == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "two words", "é", "tab\there"])
def test_keys_have_a_form(member, model, key):
    assert list(field_errors(post(member, key))) == ["Idempotency-Key"]
    assert not Generation.objects.exists()


def test_the_longest_key_is_fine(member, model):
    assert post(member, "x" * 200).status_code == 202


def test_keys_are_forgotten_after_a_day(member, model):
    post(member, "k")
    sweep()
    assert IdempotencyKey.objects.exists()
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    sweep()
    assert not IdempotencyKey.objects.exists()


def test_what_is_kept_is_what_was_sent(member, model):
    response = post(member, "k")
    kept = IdempotencyKey.objects.get()
    assert (kept.status, kept.answer) == (202, json.loads(response.content))
