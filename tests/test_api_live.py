"""The API as programs meet it: a real web server, real threads, a real worker."""

import hashlib
import http.client
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from gallery.models import Generation
from imagineer.models import ApiToken, User
from tests.studio import ROOT, Studio, wait_until

pytestmark = pytest.mark.slow
REQUEST = {"prompt": "red apple, 3d style", "steps": 4, "seed": 7, "upscale": 1}


class Server:
    def __init__(self, port: int, secret: str) -> None:
        self.port = port
        self.headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            text = None if body is None else json.dumps(body)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, text, {**self.headers, **named})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers=self.headers)
            response = connection.getresponse()
            assert response.status == 200
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))


@pytest.fixture
def server(studio: Studio) -> Iterator[Server]:
    user = User.objects.create_superuser("operator@example.org", "x")
    _, secret = ApiToken.issue(user, name="test")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "python:imagineer.web", "--bind", f"127.0.0.1:{port}"]
    with (studio.root / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env=studio.env, stdout=log, stderr=log)
    server = Server(port, secret)
    try:
        wait_until(lambda: answers(server), 60, "the server did not answer")
        yield server
    finally:
        web.terminate()
        web.wait(20)


def answers(server: Server) -> bool:
    try:
        return server.ask("GET", "/api/v1/generations")[0] == 200
    except OSError:
        return False


def test_from_a_prompt_to_a_picture(studio: Studio, server: Server) -> None:
    studio.start("generation")
    status, headers, _ = server.ask("POST", "/api/v1/generations", REQUEST)
    assert status == 202
    run = json.loads(server.ask("GET", headers["Location"])[2])
    heard = list(server.events(run["links"]["events"]))
    assert heard[-1]["status"] == "succeeded"
    assert "running" in {event["status"] for event in heard}
    done = json.loads(server.ask("GET", headers["Location"])[2])
    (image,) = done["images"]
    assert (image["seed"], done["parameters"]["seed"], done["done"]) == (7, 7, 4)
    status, headers, data = server.ask("GET", image["file_url"])
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert hashlib.sha256(data).hexdigest() == image["sha256"]
    status, headers, data = server.ask("HEAD", image["file_url"])
    assert (status, data, int(headers["Content-Length"])) == (200, b"", image["bytes"])
    text = json.loads(server.ask("GET", f"/api/v1/images/{image['id']}/parameters")[2])["text"]
    assert text.startswith("red apple, 3d style\nSteps: 4, ")


def test_the_same_key_from_ten_threads_makes_one_run(server: Server) -> None:
    def post(_: int) -> tuple[int, Any, bytes]:
        return server.ask("POST", "/api/v1/generations", REQUEST, Idempotency_Key="k")

    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(post, range(10)))
    assert [status for status, _, _ in found] == [202] * 10
    assert len({(headers["Location"], body) for _, headers, body in found}) == 1
    assert sum(headers["Idempotent-Replayed"] == "true" for _, headers, _ in found) == 9
    assert Generation.objects.count() == 1


def test_while_the_database_is_locked_reading_goes_on_and_writing_is_put_off(studio: Studio, server: Server) -> None:
    with closing(sqlite3.connect(studio.root / "imagineer.sqlite3")) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        writing = pool.submit(server.ask, "POST", "/api/v1/generations", REQUEST)
        began = time.monotonic()
        assert server.ask("GET", "/api/v1/generations")[0] == 200
        assert server.ask("GET", "/api/v1/models")[0] == 200
        assert time.monotonic() - began < 5
        status, headers, body = writing.result()
        other.rollback()
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "5", "application/problem+json")
    assert json.loads(body)["detail"] == "The database is busy; try again in a moment."
    assert not Generation.objects.exists()
    assert server.ask("POST", "/api/v1/generations", REQUEST)[0] == 202


def test_streams_leave_threads_for_everybody_else(server: Server) -> None:
    location = server.ask("POST", "/api/v1/generations", REQUEST)[1]["Location"]
    run = json.loads(server.ask("GET", location)[2])
    streams = [server.events(run["links"]["events"]) for _ in range(4)]
    assert [next(stream)["status"] for stream in streams] == ["queued"] * 4
    status, headers, _ = server.ask("GET", run["links"]["events"])
    assert (status, headers["Retry-After"]) == (503, "15")
    assert server.ask("POST", run["links"]["cancel"])[0] == 200
    assert [[event["status"] for event in stream] for stream in streams] == [["cancelled"]] * 4
    assert next(server.events(run["links"]["events"]))["status"] == "cancelled"
