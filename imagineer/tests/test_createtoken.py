import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from imagineer.models import ApiToken


def test_it_prints_a_token_that_works_once(member, client, capsys):
    call_command("createtoken", "MEMBER@example.org", "--scopes", "read")
    secret = capsys.readouterr().out.strip()
    answer = client.get("/api/v1/generations", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    assert ApiToken.objects.get().digest == ApiToken.digest_of(secret)


def test_it_tells_everything_as_json(member, capsys):
    call_command("createtoken", member.email, "--name", "robot", "--scopes", "read, generate", "--days", "3", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["user"], facts["scopes"]) == ("robot", member.email, ["read", "generate"])
    left = ApiToken.objects.get().expires_at - timezone.now()
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody@example.org"], "There is no active user with the address nobody@example.org."),
        (["member@example.org", "--scopes", "fly"], "--scopes: Choose from read, write, generate, operate."),
        (["member@example.org", "--days", "0"], "--days is 0; it must be at least 1."),
    ],
)
def test_it_refuses_with_a_sentence(member, arguments, sentence):
    with pytest.raises(CommandError, match=sentence.replace(".", r"\.")):
        call_command("createtoken", *arguments)
    assert not ApiToken.objects.exists()
