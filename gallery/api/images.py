import secrets
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import Field

from gallery.metadata import a1111_text
from gallery.models import Rating
from gallery.models.image import RENDITIONS
from gallery.schemas import (
    ImageIn,
    ImageOut,
    ImageQuery,
    LineageGenerationOut,
    LineageLoraOut,
    LineageModelOut,
    LineageOut,
    ParametersOut,
)
from gallery.services.finding import Criteria, find_images, order_of, prepared
from gallery.services.lineage import Lineage, lineage_of
from gallery.services.parameters import parameters_known
from gallery.services.pictures import (
    get_image,
    get_trashed_image,
    restore_image,
    trash_image,
    update_image,
)
from gallery.views import media
from gallery.views.viewer import has_confirmed
from imagineer.api_auth import OPEN, WRITE
from imagineer.errors import FieldError, Invalid
from imagineer.pagination import Order, QueryParameters, order_name, paginate
from imagineer.schemas import Page

router = Router(tags=["images"])
_MEDIA: dict[str, Any] = {
    "responses": {
        200: {"description": "the file", "content": {"image/*": {}}},
        206: {"description": "the range that was asked for", "content": {"image/*": {}}},
        304: {"description": "unchanged"},
    }
}


class ThumbnailQuery(QueryParameters):
    size: int = Field(600, description="300, 600 or 1200: the longer side in pixels; pictures are never enlarged")


class FileQuery(QueryParameters):
    download: str | None = Field(None, description="when given, the answer asks to be saved as a file")


@router.get("", auth=OPEN, response=Page[ImageOut], summary="Pictures")
def list_images(request: HttpRequest, query: Query[ImageQuery]) -> Page[ImageOut]:
    """Public pictures and one's own; operators find all. Those for adults are listed only when asked for."""
    criteria = _criteria(query)
    order = _order(query, criteria)
    images = find_images(request.user, criteria, adult=_wants_adult(request, query.rating))
    found, following = paginate(prepared(images, order).select_related("owner"), query, order)
    return Page[ImageOut](items=[ImageOut.of(image) for image in found], next=following)


@router.get("/{image_id}", auth=OPEN, response=ImageOut, summary="One picture")
def get_one(request: HttpRequest, image_id: str) -> ImageOut:
    return ImageOut.of(get_image(request.user, image_id))


@router.patch("/{image_id}", auth=WRITE, response=ImageOut, summary="Describe, rate or publish it")
def update(request: HttpRequest, image_id: str, payload: ImageIn) -> ImageOut:
    """Publishing a picture that nobody has rated states that it is safe, unless the same call rates it."""
    return ImageOut.of(update_image(request.user, get_image(request.user, image_id), payload.to_changes()))


@router.delete("/{image_id}", auth=WRITE, response={204: None}, summary="Throw it away")
def trash(request: HttpRequest, image_id: str) -> HttpResponse:
    """It stays in the trash for 30 days."""
    trash_image(request.user, get_image(request.user, image_id))
    return HttpResponse(status=204)


@router.post("/{image_id}/restore", auth=WRITE, response=ImageOut, summary="Bring it back from the trash")
def restore(request: HttpRequest, image_id: str) -> ImageOut:
    return ImageOut.of(restore_image(request.user, get_trashed_image(request.user, image_id)))


@router.get("/{image_id}/file", auth=OPEN, summary="Its file", openapi_extra=_MEDIA)
def get_file(request: HttpRequest, image_id: str, query: Query[FileQuery]) -> HttpResponseBase:
    """The original for its owner and operators; for others its largest rendition, which tells no prompt."""
    return media.image_file(request, image_id)


@router.get("/{image_id}/thumbnail", auth=OPEN, summary="A smaller WebP of it", openapi_extra=_MEDIA)
def get_thumbnail(request: HttpRequest, image_id: str, query: Query[ThumbnailQuery]) -> HttpResponseBase:
    if query.size not in RENDITIONS:
        raise Invalid(FieldError("size", f"must be one of {', '.join(map(str, RENDITIONS))}."))
    return media.image_thumbnail(request, image_id, query.size)


@router.get("/{image_id}/lineage", auth=OPEN, response=LineageOut, summary="Where it came from, what came of it")
def get_lineage(request: HttpRequest, image_id: str) -> LineageOut:
    image = get_image(request.user, image_id)
    return _lineage_out(lineage_of(request.user, image, adult=has_confirmed(request)))


@router.get("/{image_id}/parameters", auth=OPEN, response=ParametersOut, summary="What it was made from")
def get_parameters(request: HttpRequest, image_id: str) -> ParametersOut:
    """404 for a picture that was not generated here and whose file says nothing of its making."""
    known = parameters_known(get_image(request.user, image_id))
    if known is None:
        raise Http404("How this picture was made is not known.")
    return ParametersOut(parameters=known.to_json(), text=a1111_text(known))


def _wants_adult(request: HttpRequest, ceiling: str | None) -> bool:
    if has_confirmed(request):
        return True
    if ceiling not in Rating.gated():
        return False
    if not request.user.is_authenticated:
        raise PermissionDenied("Confirm on the site that you are an adult, or log in, to list these pictures.")
    return True


def _criteria(query: ImageQuery) -> Criteria:
    fields = query.model_dump(exclude={"cursor", "limit"})
    return Criteria(**{**fields, "q": query.q or ""})


def _order(query: ImageQuery, criteria: Criteria) -> Order:
    """The salt of a shuffle travels in its cursor, so that all pages are of one and the same shuffle."""
    salt = secrets.token_hex(4)
    if criteria.sort == "random" and query.cursor:
        salt = order_name(query.cursor).removeprefix("random:")
    try:
        return order_of(criteria, salt)
    except ValueError as error:
        raise Invalid(FieldError("cursor", "is not one that this list has given out.")) from error


def _lineage_out(lineage: Lineage) -> LineageOut:
    generation, model = lineage.generation, lineage.model
    return LineageOut(
        image=ImageOut.of(lineage.image),
        generation=LineageGenerationOut.of(generation) if generation else None,
        model=LineageModelOut.of(model) if model else None,
        loras=[LineageLoraOut.of(use) for use in lineage.loras],
        init_image=ImageOut.of(lineage.init_image) if lineage.init_image else None,
        used_in=[ImageOut.of(image) for image in lineage.used_in],
    )
