"""Real pages in a real browser, served by the real web server; what a page complains about fails its test."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from imagineer.models import User
from tests.people import make_user
from tests.studio import ROOT, Studio, wait_until

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@dataclass
class Site:
    studio: Studio
    address: str


@dataclass
class Visitor:
    """Somebody at a browser. `complaints` collects what must not happen on any page."""

    context: BrowserContext
    site: Site
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._watch)
        page.goto(path)
        return page

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.site.address, "data:", "blob:")):
            self.complaints.append(f"a request left the host: {request.url}")


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory, studio_template: Path) -> Path:
    """The static files as they are served, with hashed names."""
    root = tmp_path_factory.mktemp("collected")
    env = {**os.environ, "IMAGINEER_DATA_DIR": str(root)}
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=120)
    return root / "static"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "These tests need Chromium: apt-get install chromium"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright runs a loop in this thread; Django stays synchronous
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def site(studio: Studio, collected: Path, chromium: Browser) -> Iterator[Site]:
    shutil.copytree(collected, studio.root / "static")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gunicorn", "-c", "python:imagineer.web", "--bind", f"127.0.0.1:{port}"]
    env = {**studio.env, "IMAGINEER_BASE_URL": address}
    with (studio.root / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(address), 60, "the server did not answer")
        yield Site(studio, address)
    finally:
        web.terminate()
        web.wait(20)


@pytest.fixture
def visit(site: Site, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser for somebody, logged in when a user is given; afterwards nobody may have had complaints."""
    visitors: list[Visitor] = []

    def make(user: User | None = None, *, size: dict[str, int] = WIDE, **options: Any) -> Visitor:
        context = chromium.new_context(base_url=site.address, viewport=size, **options)
        context.set_default_timeout(20_000)
        if user is not None:
            context.add_cookies([_session(user, site)])
        visitors.append(Visitor(context, site))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture
def member(studio: Studio) -> User:
    return make_user("member", "member")


@pytest.fixture
def operator(studio: Studio) -> User:
    return make_user("operator", "operator", "member")


def _session(user: User, site: Site) -> Any:
    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    return {"name": cookie.key, "value": cookie.value, "url": site.address}


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
