import json
import time

import pytest

from gallery.models import Generation
from gallery.tests.makers import make_generation
from imagineer import events_stream
from imagineer.models import User
from imagineer.runs import RunStatus
from tests.people import Api, hang_up

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(events_stream, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(events_stream, "FORECAST_SECONDS", 0.01)


@pytest.fixture
def run(member, model):
    return make_generation(member, model, status=RunStatus.QUEUED, total=12)


class Follower:
    """Reads a stream event by event, as a browser does."""

    def __init__(self, response):
        assert response.status_code == 200, response.content
        self.response = response
        self.chunks = iter(response.streaming_content)
        self.retry = self.block()["retry"]

    def block(self):
        lines = next(self.chunks).decode().strip().splitlines()
        return dict(line.split(": ", 1) for line in lines if not line.startswith(":"))

    def event(self):
        block = self.block()
        return block["id"], json.loads(block["data"])

    def is_over(self):
        return next(self.chunks, None) is None


def follow(user, run, last=None):
    headers = {"Last-Event-ID": last} if last else {}
    return Api(user).get(f"/runs/{run.pk}/events", headers=headers)


def test_every_change_is_an_event_and_the_last_state_the_end(member, run):
    response = follow(member, run)
    assert response["Content-Type"] == "text/event-stream"
    assert (response["Cache-Control"], response["X-Accel-Buffering"]) == ("no-store", "no")
    stream = Follower(response)
    assert int(stream.retry) == 2000
    first_id, first = stream.event()
    assert (first["status"], first["position"]) == ("queued", 1)
    run.claim("worker")
    _, second = stream.event()
    assert (second["status"], second["stage"], second["attempt"]) == ("running", "starting", 1)
    run.advance(done=5, stage="denoising", message="step 5 of 12")
    _, third = stream.event()
    assert (third["done"], third["message"]) == (5, "step 5 of 12")
    run.succeed()
    last_id, last = stream.event()
    assert (last["status"], last["eta_seconds"]) == ("succeeded", None)
    assert first_id != last_id
    assert stream.is_over()
    assert set(first) == set(last) == {
        "id", "status", "stage", "message", "done", "total", "attempt", "position", "eta_seconds", "error",
        "created_at", "started_at", "finished_at", "created_by", "links",
    }  # fmt: skip


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_run_that_has_ended_is_told_once(member, model, end):
    run = make_generation(member, model, status=end)
    stream = Follower(follow(member, run))
    event_id, state = stream.event()
    assert state["status"] == end
    assert stream.is_over()
    assert follow(member, run, last=event_id).status_code == 204


def test_whoever_comes_back_hears_only_what_is_new(member, run):
    stream = Follower(follow(member, run))
    event_id, _ = stream.event()
    hang_up(stream.response)
    again = Follower(follow(member, run, last=event_id))
    run.claim("worker")
    assert again.event()[1]["status"] == "running"
    hang_up(again.response)


def test_a_silent_stream_shows_that_it_is_alive(member, run, monkeypatch):
    monkeypatch.setattr(events_stream, "HEARTBEAT_SECONDS", 0.02)
    stream = Follower(follow(member, run))
    stream.event()
    assert next(stream.chunks).startswith(b": ")
    hang_up(stream.response)


def test_a_stream_lives_only_so_long(member, run, monkeypatch):
    monkeypatch.setattr(events_stream, "LIFE_SECONDS", 0.1)
    stream = Follower(follow(member, run))
    stream.event()
    began = time.monotonic()
    assert stream.is_over()
    assert time.monotonic() - began < 2


def test_a_run_that_is_deleted_or_taken_away_ends_its_stream(member, stranger, run):
    stream = Follower(follow(member, run))
    stream.event()
    Generation.objects.update(created_by=stranger)
    assert stream.is_over()


def test_whose_runs_can_be_followed(member, stranger, operator, run):
    for user, status in ((stranger, 404), (None, 401), (operator, 200)):
        response = follow(user, run)
        assert response.status_code == status
        hang_up(response)
    assert Api(member, "write").get(f"/runs/{run.pk}/events").status_code == 403


@pytest.fixture
def two_places(monkeypatch):
    monkeypatch.setattr(events_stream, "_places", events_stream.Places(2, each=2))


def test_there_are_only_so_many_places(member, run, two_places):
    first, second = follow(member, run), follow(member, run)
    refused = follow(member, run)
    assert (refused.status_code, refused["Retry-After"]) == (503, "15")
    assert refused["Content-Type"] == "application/problem+json"
    Follower(first)
    hang_up(first)
    third = follow(member, run)
    assert third.status_code == 200
    hang_up(second)  # nobody has begun to read this one
    fourth = follow(member, run)
    assert fourth.status_code == 200
    for response in (third, fourth, first):
        hang_up(response)


def test_head_gives_its_place_back(member, run, two_places):
    for _ in range(3):
        assert Api(member).head(f"/runs/{run.pk}/events").status_code == 200


def test_nobody_takes_all_places(member, operator, run, monkeypatch):
    monkeypatch.setattr(events_stream, "_places", events_stream.Places(3, each=2))
    open_streams = [follow(member, run) for _ in range(3)]
    assert [response.status_code for response in open_streams] == [200, 200, 503]
    open_streams.append(follow(operator, run))
    assert open_streams[-1].status_code == 200
    for response in open_streams:
        hang_up(response)


def test_a_stream_that_has_ended_gives_its_place_back(member, model, two_places):
    run = make_generation(member, model)
    for _ in range(3):
        stream = Follower(follow(member, run))
        stream.event()
        assert stream.is_over()


def test_a_deactivated_user_is_out(member, run):
    api = Api(member)
    User.objects.filter(pk=member.pk).update(is_active=False)
    assert api.get(f"/runs/{run.pk}/events").status_code == 401
