"""How runs of every kind are told to programs: their common fields, their ETag, their cancel."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response
from pydantic import BaseModel

from imagineer import fairness
from imagineer.errors import Conflict
from imagineer.fairness import Outlook
from imagineer.ids import parsed_id
from imagineer.models import Event
from imagineer.runs import Run, RunStatus, run_models
from imagineer.schemas import Person

NO_RUN = "There is no such run, or it isn't yours."
LOG_TAIL_BYTES = 1024 * 1024

_collections: dict[type[Run], str] = {}


def register_collection(model: type[Run], name: str) -> None:
    """Where the API keeps runs of this kind: `generations` for /api/v1/generations."""
    _collections[model] = name


def get_run(rows: Any, user: Any, run_id: str) -> Any:
    """The run among `rows` that `user` may see; Http404 for any other."""
    known = parsed_id(run_id)
    run = rows.visible_to(user).filter(pk=known).first() if known else None
    if run is None:
        raise Http404(NO_RUN)
    return run


def find_run(user: Any, run_id: str) -> Any:
    """A run of any kind."""
    known = parsed_id(run_id)
    for model in run_models() if known else []:
        run = model.objects.visible_to(user).filter(pk=known).select_related("created_by").first()
        if run is not None:
            return run
    raise Http404(NO_RUN)


def outlooks_of(runs: Sequence[Run]) -> dict[UUID, Outlook]:
    """Position and end of those that are active; one forecast per queue, none when all have ended."""
    queues = {run.queue for run in runs if not run.is_terminal}
    return {run_id: outlook for queue in sorted(queues) for run_id, outlook in fairness.forecast(queue).items()}


def run_fields(run: Run, outlooks: dict[UUID, Outlook]) -> dict[str, Any]:
    outlook = None if run.is_terminal else outlooks.get(run.pk)
    names = (
        "status",
        "stage",
        "message",
        "done",
        "total",
        "attempt",
        "created_at",
        "started_at",
        "finished_at",
    )
    return {
        **{name: getattr(run, name) for name in names},
        "id": str(run.pk),
        "position": outlook.position if outlook and run.status == RunStatus.QUEUED else None,
        "eta_seconds": round(outlook.seconds, 1) if outlook else None,
        "error": run.error or None,
        "created_by": Person.of(run.created_by),
        "links": links_of(run),
    }


def links_of(run: Run) -> dict[str, str]:
    root = reverse("api:api-root")
    own = f"{root}{_collections[type(run)]}/{run.pk}"
    return {
        "self": own,
        "cancel": f"{own}/cancel",
        "events": f"{root}runs/{run.pk}/events",
        "log": f"{own}/log",
    }


def version_of(answer: BaseModel) -> str:
    """Changes whenever the answer does, but for the seconds that run down by themselves."""
    text = answer.model_dump_json(exclude={"eta_seconds"})
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def answer_conditionally(request: HttpRequest, answer: BaseModel) -> HttpResponse:
    """200 with an ETag, or 304 when the caller has this version already."""
    etag = f'W/"{version_of(answer)}"'
    response = HttpResponse(
        answer.model_dump_json(),
        content_type="application/json; charset=utf-8",
        headers={"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"},
    )
    return get_conditional_response(request, etag=etag, response=response) or response


def cancel_run(user: Any, run: Run) -> None:
    """Cancelling twice is fine; raises Conflict when the run has ended otherwise."""
    asked_before = run.cancel_requested_at is not None or run.status == RunStatus.CANCELLED
    if not run.request_cancel():
        raise Conflict(f"This run has already {'failed' if run.status == RunStatus.FAILED else 'succeeded'}.")
    if not asked_before:
        with transaction.atomic():
            Event.record(user, "cancel", run)
    run.refresh_from_db()


def tail_of(path: Path, lines: int) -> list[str]:
    """The last lines of a log, from at most its last megabyte; none when nothing was written."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]
