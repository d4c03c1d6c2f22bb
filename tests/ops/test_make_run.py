"""What the README promises of `make run`."""

import http.cookiejar
import re
import signal
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ops.served import MAKE, Served

pytestmark = pytest.mark.slow


def test_a_fresh_machine_gets_a_site_an_administrator_and_a_password_once(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with Served(tmp_path / "data", command=MAKE, IMAGINEER_ADMIN_EMAIL="boss@example.org") as first:
        record_property("seconds of the first start", first.wait_ready())
        password = first.printed_password()
        assert password
        assert "boss@example.org" in first.output
        assert f"http://127.0.0.1:{first.port}" in first.output
        assert can_log_in(first.port, "boss@example.org", password)
        first.signal_group(signal.SIGINT)
        first.wait_end()
        first.assert_nothing_left()

    with Served(tmp_path / "data", command=MAKE, IMAGINEER_ADMIN_EMAIL="other@example.org") as second:
        record_property("seconds of the second start", second.wait_ready())
        assert second.printed_password() is None
        assert can_log_in(second.port, "boss@example.org", password)
        assert not can_log_in(second.port, "other@example.org", password)


def test_the_web_process_stays_small(data: Path, record_property: Callable[[str, object], None]) -> None:
    with Served(data) as site:
        site.wait_ready()
        for _ in range(5):
            for path in ("/", "/accounts/login/", "/api/v1/openapi.json", "/api/v1/images", "/healthz"):
                fetch(site.port, path)
        worker = site.service("gunicorn").children()[0]
        megabytes = worker.memory_info().rss / 1e6
        record_property("MB of the web process", megabytes)
        assert megabytes < 150


def fetch(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return bytes(answer.read())


def can_log_in(port: int, email: str, password: str) -> bool:
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    address = f"http://127.0.0.1:{port}/accounts/login/"
    with opener.open(address, timeout=20) as page:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
    assert token
    form = {"login": email, "password": password, "csrfmiddlewaretoken": token[1]}
    with opener.open(address, urllib.parse.urlencode(form).encode(), timeout=20) as answer:
        return "/login/" not in answer.geturl()
