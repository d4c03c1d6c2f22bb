from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from imagineer.models import ApiToken, Event
from tests.people import Api

URL = "/api/v1/generations"


def bearer(secret, **kwargs):
    return Client(headers={"Authorization": f"Bearer {secret}"}, **kwargs)


def test_without_anything_the_answer_is_401_with_a_challenge(db):
    response = Client().get(URL)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="Imagineer"'


@pytest.mark.parametrize("spoil", ["unknown", "empty", "expired", "revoked", "inactive"])
def test_a_token_that_is_not_good_is_refused(member, spoil):
    token, secret = ApiToken.issue(member, name="t", days=1)
    if spoil == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if spoil == "revoked":
        token.revoke()
    if spoil == "inactive":
        member.is_active = False
        member.save()
    client = bearer({"unknown": "img_x", "empty": ""}.get(spoil, secret))
    response = client.get(URL)
    assert response.status_code == 401
    assert 'error="invalid_token"' in response["WWW-Authenticate"]
    assert client.get("/api/v1/models").status_code == 401  # even where visitors may ask


def test_a_bad_token_is_not_made_up_for_by_a_session(member):
    client = bearer("img_x")
    client.force_login(member)
    assert client.get(URL).status_code == 401


def test_another_scheme_leaves_the_session_in_charge(member):
    client = Client(headers={"Authorization": "Basic eDp5"})
    client.force_login(member)
    assert client.get(URL).status_code == 200


def test_a_token_may_only_what_its_scopes_say(member):
    assert Api(member, "read").get("/generations").status_code == 200
    assert Api(member, "generate", "write").get("/generations").status_code == 403
    response = Api(member, "read", "write").send("/generations", {"prompt": "x"})
    assert response.status_code == 403
    assert "'generate'" in response.json()["detail"]


def test_an_operators_token_is_only_an_operators_with_the_scope(operator):
    without = Api(operator, "read").get("/generations/x/log")
    assert without.status_code == 403
    assert Api(operator, "read", "operate").get("/generations/x/log").status_code == 404
    assert Client().get("/metrics").status_code == 401


def test_the_scope_operate_makes_nobody_an_operator(member):
    assert Api(member, "operate").get("/generations/x/log").status_code == 403


def test_roles_are_read_with_every_request(operator):
    api = Api(operator)
    assert api.get("/generations/x/log").status_code == 404
    operator.groups.clear()
    assert api.get("/generations/x/log").status_code == 403


def test_the_use_of_a_token_is_noted_at_most_once_a_minute(member):
    api = Api(member)
    api.get("/generations")
    first = ApiToken.objects.get().last_used_at
    api.get("/generations")
    assert first is not None
    assert ApiToken.objects.get().last_used_at == first


def test_a_session_reads_without_and_writes_only_with_its_csrf_token(member):
    client = Client(enforce_csrf_checks=True)
    client.force_login(member)
    assert client.get(URL).status_code == 200
    refused = client.post(URL, {}, content_type="application/json")
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["detail"]
    client.cookies["csrftoken"] = "a" * 32
    accepted = client.post(URL, {}, content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert accepted.status_code == 422


def test_a_token_needs_no_csrf_token(member):
    _, secret = ApiToken.issue(member, name="t")
    response = bearer(secret, enforce_csrf_checks=True).post(URL, {}, content_type="application/json")
    assert response.status_code == 422


def test_a_visitor_who_writes_is_told_to_log_in(db):
    assert Client(enforce_csrf_checks=True).post(URL, {}, content_type="application/json").status_code == 401


def test_tokens_are_not_taken_from_cookies_or_the_address(member):
    _, secret = ApiToken.issue(member, name="t")
    client = Client()
    client.cookies["Authorization"] = f"Bearer {secret}"
    assert client.get(f"{URL}?token={secret}&access_token={secret}").status_code == 401


def test_issuing_leaves_no_secret_in_the_trail(member, capsys):
    from django.core.management import call_command

    call_command("createtoken", member.email)
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("img_")
    assert secret not in str(Event.objects.get(verb="issue token").details)
