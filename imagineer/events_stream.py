"""A run's changes as Server-Sent Events: https://html.spec.whatwg.org/multipage/server-sent-events.html

Each stream holds a thread of the web server, so there are only so many, each lives only so long, and a client
that comes back says with Last-Event-ID what it knows already. Browsers come back until they are answered 204.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from imagineer.fairness import Outlook
from imagineer.problems import unavailable
from imagineer.run_answers import outlooks_of, run_fields, version_of
from imagineer.runs import Run
from imagineer.schemas import RunOut

STREAMS = 8  # at once in one web process, which has twice as many threads
STREAMS_EACH = 4  # of one user
LIFE_SECONDS = 300.0
POLL_SECONDS = 0.4
FORECAST_SECONDS = 2.0  # a forecast costs more than a look at the row
HEARTBEAT_SECONDS = 10.0
RETRY_MILLISECONDS = 2000


class Places:
    """The streams that are open, counted by user, so that nobody takes them all."""

    def __init__(self, total: int, each: int) -> None:
        self.total = total
        self.each = each
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    def take(self, user_id: int) -> bool:
        with self._lock:
            if self._taken.total() >= self.total or self._taken[user_id] >= self.each:
                return False
            self._taken[user_id] += 1
            return True

    def give_back(self, user_id: int) -> None:
        with self._lock:
            self._taken[user_id] -= 1


_places = Places(STREAMS, STREAMS_EACH)


def stream_events(request: HttpRequest, run: Run) -> HttpResponseBase:
    """Raises Problem 503 when all places are taken."""
    known = request.headers.get("Last-Event-ID", "")
    if run.is_terminal and known == version_of(RunOut(**run_fields(run, {}))):
        return HttpResponse(status=204)
    if not _places.take(request.user.pk or 0):
        raise unavailable("Too many event streams are open; close some, or poll the run with its ETag.", 15)
    return StreamingHttpResponse(
        _Stream(request.user, run, known),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _Stream:
    """An iterator that gives its place back exactly once, even when nobody has begun to read it."""

    def __init__(self, user: Any, run: Run, known: str) -> None:
        self._user_id = user.pk or 0
        self._events = _events(user, run, known)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        self._events.close()  # type: ignore[attr-defined]  # a generator
        if not self._closed:
            self._closed = True
            _places.give_back(self._user_id)


def _events(user: Any, run: Run, known: str) -> Iterator[bytes]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    end = time.monotonic() + LIFE_SECONDS
    heard = time.monotonic()
    forecast = _Forecast()
    while (current := _look_again(user, run)) is not None:
        answer = RunOut(**run_fields(current, forecast.of(current)))
        version = version_of(answer)
        if version != known:
            known, heard = version, time.monotonic()
            yield f"id: {version}\ndata: {answer.model_dump_json()}\n\n".encode()
        elif time.monotonic() - heard > HEARTBEAT_SECONDS:
            heard = time.monotonic()
            yield b": still here\n\n"
        if current.is_terminal or time.monotonic() > end:
            return
        time.sleep(POLL_SECONDS)


def _look_again(user: Any, run: Run) -> Run | None:
    """None when the run is gone, or is no longer the user's to see."""
    again: Run | None = type(run).objects.visible_to(user).filter(pk=run.pk).select_related("created_by").first()
    return again


class _Forecast:
    """The last forecast, made anew when it is old or the run has changed its state."""

    def __init__(self) -> None:
        self._made = -FORECAST_SECONDS
        self._status = ""
        self._outlooks: dict[UUID, Outlook] = {}

    def of(self, run: Run) -> dict[UUID, Outlook]:
        if run.status != self._status or time.monotonic() - self._made > FORECAST_SECONDS:
            self._outlooks = outlooks_of([run])
            self._made, self._status = time.monotonic(), run.status
        return self._outlooks
