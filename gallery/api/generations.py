from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import Field

from gallery.models import Generation, Image
from gallery.schemas import (
    GenerationIn,
    GenerationOut,
    GenerationQuery,
    GenerationSummaryOut,
    ImageOut,
    request_fields,
)
from gallery.services.lineage import with_ingredients
from gallery.services.requests import create_generation, rerun_generation
from imagineer.api_auth import GENERATE, OPERATE, READ, require_operator, require_permission
from imagineer.children import log_path
from imagineer.fairness import Outlook
from imagineer.idempotency import Answer, answer_once
from imagineer.pagination import QueryParameters, paginate
from imagineer.run_answers import (
    answer_conditionally,
    cancel_run,
    get_run,
    outlooks_of,
    register_collection,
    run_fields,
    tail_of,
)
from imagineer.runs import RunStatus
from imagineer.schemas import LogOut, Page

router = Router(tags=["generations"])
register_collection(Generation, "generations")
MEMBERS_ONLY = "Only members may generate pictures; ask an operator to make you one."
_KEY_HEADER = {
    "parameters": [
        {
            "in": "header",
            "name": "Idempotency-Key",
            "required": False,
            "schema": {"type": "string", "maxLength": 200},
            "description": "The same key and body again give the first answer again; another body gives 409.",
        }
    ]
}


class LogQuery(QueryParameters):
    tail: int = Field(200, ge=1, le=5000, description="how many of the last lines")


@router.get("", auth=READ, response=Page[GenerationSummaryOut], summary="One's generations, newest first")
def list_generations(request: HttpRequest, query: Query[GenerationQuery]) -> Page[GenerationSummaryOut]:
    """Operators find everybody's."""
    rows = with_ingredients(Generation.objects.visible_to(request.user))
    if query.status:
        rows = rows.filter(status=query.status)
    found, following = paginate(rows, query)
    outlooks = outlooks_of(found)
    items = [GenerationSummaryOut(**_summary(generation, outlooks)) for generation in found]
    return Page[GenerationSummaryOut](items=items, next=following)


@router.post("", auth=GENERATE, response={202: GenerationOut}, summary="Generate pictures", openapi_extra=_KEY_HEADER)
def generate(request: HttpRequest, payload: GenerationIn) -> HttpResponse:
    """Queues the request and answers at once; Location is where to follow it."""
    user = require_permission(request, "gallery.add_generation", MEMBERS_ONLY)
    return answer_once(request, lambda: _accepted(create_generation(user, payload.to_request())))


@router.get("/{generation_id}", auth=READ, response=GenerationOut, summary="One generation with its pictures")
def get_generation(request: HttpRequest, generation_id: str) -> HttpResponse:
    """Poll with If-None-Match: 304 while nothing but eta_seconds has changed."""
    return answer_conditionally(request, _answer(_get(request, generation_id)))


@router.post("/{generation_id}/cancel", auth=GENERATE, response=GenerationOut, summary="Cancel")
def cancel_generation(request: HttpRequest, generation_id: str) -> GenerationOut:
    """Cancelling twice is fine. 409 when it has ended already."""
    generation = _get(request, generation_id)
    cancel_run(request.user, generation)
    return _answer(_get(request, generation_id))


@router.post(
    "/{generation_id}/rerun",
    auth=GENERATE,
    response={202: GenerationOut},
    summary="The same request with the same seed",
    openapi_extra=_KEY_HEADER,
)
def rerun(request: HttpRequest, generation_id: str) -> HttpResponse:
    """When it is done its pictures are compared with the first ones; the verdict says how they differ."""
    user = require_permission(request, "gallery.add_generation", MEMBERS_ONLY)
    original = _get(request, generation_id)
    return answer_once(request, lambda: _accepted(rerun_generation(user, original)))


@router.get("/{generation_id}/log", auth=OPERATE, response=LogOut, summary="The end of its log")
def get_log(request: HttpRequest, generation_id: str, query: Query[LogQuery]) -> LogOut:
    """For operators."""
    require_operator(request)
    generation = get_run(Generation.objects, request.user, generation_id)
    return LogOut(lines=tail_of(log_path(generation), query.tail))


@router.get(
    "/{generation_id}/preview",
    auth=READ,
    summary="What is forming",
    openapi_extra={
        "responses": {
            200: {"description": "at most 256 px a side", "content": {"image/jpeg": {}}},
            204: {"description": "nothing to see yet, or any more"},
        }
    },
)
def get_preview(request: HttpRequest, generation_id: str) -> HttpResponseBase:
    """For whoever asked for the pictures, and operators."""
    generation = get_run(Generation.objects, request.user, generation_id)
    return preview_response(generation)


def preview_response(generation: Generation) -> HttpResponse:
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    try:
        data = generation.preview_path.read_bytes() if generation.status == RunStatus.RUNNING else b""
    except FileNotFoundError:
        data = b""
    if not data:
        return HttpResponse(status=204, headers=headers)
    return HttpResponse(data, content_type="image/jpeg", headers=headers)


def _get(request: HttpRequest, generation_id: str) -> Generation:
    generation: Generation = get_run(_detailed(Generation.objects.all()), request.user, generation_id)
    return generation


def _detailed(generations: Any) -> Any:
    images = Image.objects.kept().select_related("owner").order_by("index")
    return with_ingredients(generations).prefetch_related(Prefetch("images", images))


def _accepted(generation: Generation) -> Answer:
    answer = _answer(_detailed(Generation.objects.filter(pk=generation.pk)).get())
    return Answer(202, answer.model_dump(mode="json"), answer.links["self"])


def _answer(generation: Generation) -> GenerationOut:
    return GenerationOut(
        **_summary(generation, outlooks_of([generation])),
        images=[ImageOut.of(image) for image in generation.images.all()],
        parameters=request_fields(generation),
        seconds=generation.seconds,
    )


def _summary(generation: Generation, outlooks: dict[UUID, Outlook]) -> dict[str, Any]:
    fields = run_fields(generation, outlooks)
    own = fields["links"]["self"]
    fields["links"] |= {"rerun": f"{own}/rerun", "preview": f"{own}/preview"}
    return {
        **fields,
        **request_fields(generation),
        "rerun_of": str(generation.rerun_of_id) if generation.rerun_of_id else None,
        "verdict": generation.verdict or None,
    }
