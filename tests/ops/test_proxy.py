"""Whose address counts: the last that a proxy names where there is a proxy, else that of the connection."""

import re
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.ops.served import MANAGE, Served

pytestmark = pytest.mark.slow
WEB_ONLY = (*MANAGE, "--without-workers")
FAILURES_A_MINUTE = 10


def test_behind_a_proxy_its_last_word_counts_and_not_what_a_client_wrote_before_it(data: Path) -> None:
    with Served(data, command=WEB_ONLY, IMAGINEER_BEHIND_PROXY="1") as site:
        site.wait_ready()
        answers = [may_try(site.port, number, f"198.51.100.{number}, 203.0.113.7") for number in range(12)]
        assert answers == [True] * FAILURES_A_MINUTE + [False] * 2
        assert may_try(site.port, 99, "203.0.113.7, 203.0.113.8")


def test_without_a_proxy_nobody_gets_more_tries_by_naming_other_addresses(data: Path) -> None:
    with Served(data, command=WEB_ONLY) as site:
        site.wait_ready()
        answers = [may_try(site.port, number, f"198.51.100.{number}") for number in range(12)]
        assert answers == [True] * FAILURES_A_MINUTE + [False] * 2


def may_try(port: int, number: int, forwarded_for: str) -> bool:
    """Logs in with a wrong password, each time to another account; whether the password was looked at."""
    address = f"http://127.0.0.1:{port}/accounts/login/"
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(address, timeout=20) as page:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
    assert token
    form = {"login": f"nobody{number}@example.org", "password": "wrong", "csrfmiddlewaretoken": token[1]}
    request = urllib.request.Request(address, urllib.parse.urlencode(form).encode())
    request.add_header("X-Forwarded-For", forwarded_for)
    with opener.open(request, timeout=20) as answer:
        text = answer.read().decode()
    assert ("not correct" in text) != ("Too many" in text)
    return "not correct" in text
