"""Hostile files, eight at a time, against the real server: no 5xx, bounded memory, others are served, nothing stays."""

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from gallery.models import Image
from imagineer.models import ApiToken
from tests.hostile.files import Hostile, hostile_files
from tests.people import make_user
from tests.studio import ROOT, Studio, wait_until

pytestmark = pytest.mark.slow
AT_ONCE = 8
MEMORY_LIMIT = 600 * 2**20  # above idle, all processes together


@dataclass
class Watch:
    """Looks at the server's processes while it works."""

    server: psutil.Process
    highest: int = 0
    decoders: int = 0
    open_things: set[str] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)

    def look(self) -> None:
        total = 0
        for process in [self.server, *self.server.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_info().rss
                if "gallery.decoder" in process.cmdline():
                    self.decoders += 1
                    self.open_things |= {f"socket {each}" for each in process.net_connections("all")}
        self.highest = max(self.highest, total)


class Site:
    def __init__(self, port: int, secret: str, process: psutil.Process) -> None:
        self.port, self.secret, self.process = port, secret, process

    def get(self, path: str) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status

    def send(self, file: Hostile) -> tuple[int, bytes]:
        name = file.name.encode("utf-8", "surrogatepass").replace(b'"', b"%22")
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n'
        body = head + b"Content-Type: image/png\r\n\r\n" + file.data + b"\r\n--b--\r\n"
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "multipart/form-data; boundary=b"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request("POST", "/api/v1/images", body, headers)
            response = connection.getresponse()
            return response.status, response.read()


@pytest.fixture
def site(studio: Studio) -> Iterator[Site]:
    _, secret = ApiToken.issue(make_user("member", "member"), name="test")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "python:imagineer.web", "--bind", f"127.0.0.1:{port}"]
    env = {**studio.env, "IMAGINEER_DECODER_SECONDS": "4"}
    with (studio.root / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    site = Site(port, secret, psutil.Process(web.pid))
    try:
        wait_until(lambda: answers(site), 60, "the server did not answer")
        yield site
    finally:
        web.terminate()
        web.wait(20)


def answers(site: Site) -> bool:
    try:
        return site.get("/api/v1/images") == 200
    except OSError:
        return False


def test_hostile_files_harm_nothing(studio: Studio, site: Site) -> None:
    files = hostile_files()
    watch = Watch(site.process)
    watch.look()
    idle, watch.highest = watch.highest, 0
    done = threading.Event()
    watchers = [threading.Thread(target=each, args=(watch, site, done)) for each in (look_on, ask_on)]
    for each in watchers:
        each.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        given = list(pool.map(site.send, files))
    done.set()
    for each in watchers:
        each.join()

    wrong = [
        f"{file.name[:30]!r} {status} {body[:160]!r}"
        for file, (status, body) in zip(files, given, strict=True)
        if status not in {True: (201,), False: (422,), None: (201, 400, 422)}[file.taken]
    ]
    assert not wrong, "\n".join(wrong)
    assert_nothing_stays(studio, given)
    log = (studio.root / "web.log").read_text()
    assert "Traceback" not in log, log[-3000:]
    assert (watch.decoders > 0, watch.open_things) == (True, set())
    assert watch.highest - idle < MEMORY_LIMIT, f"{(watch.highest - idle) >> 20} MiB"
    assert sorted(watch.waits)[int(len(watch.waits) * 0.95)] < 1, sorted(watch.waits)[-5:]


def look_on(watch: Watch, site: Site, done: threading.Event) -> None:
    while not done.wait(0.02):
        watch.look()


def ask_on(watch: Watch, site: Site, done: threading.Event) -> None:
    while not done.wait(0.1):
        started = time.monotonic()
        assert site.get("/api/v1/images") == 200
        watch.waits.append(time.monotonic() - started)


def assert_nothing_stays(studio: Studio, given: list[tuple[int, bytes]]) -> None:
    """But the pictures that were taken: an original and three renditions each, under names made of their hashes."""
    taken = {item["sha256"] for status, body in given if status == 201 for item in json.loads(body)["items"]}
    assert set(Image.objects.values_list("sha256", flat=True)) == taken
    media = [path.relative_to(studio.root / "media") for path in (studio.root / "media").rglob("*") if path.is_file()]
    assert len(media) == 4 * len(taken)
    shape = re.compile(r"(originals|renditions)/[0-9a-f]{2}/[0-9a-f]{64}(-(300|600|1200))?\.(png|jpeg|webp|gif|avif)")
    assert [str(path) for path in media if not shape.fullmatch(str(path))] == []
    assert [path for path in (studio.root / "tmp").rglob("*") if path.is_file()] == []
    assert not [each for each in studio.leftovers() if "gallery.decoder" in each]
    report = studio.manage("integrity", "--json")
    assert report.returncode == 0, report.stdout + report.stderr
    assert not list(Path("/tmp").glob("*.upload"))
