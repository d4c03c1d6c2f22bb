"""The pictures' files. There is no other way to them: each request is checked, then answered by the bytes.

Pages and API share these views. The originals of other people's pictures are never sent, for a file tells its
prompt: whoever may see the picture gets its largest rendition instead, which carries no metadata.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from gallery.models import Image
from gallery.models.image import RENDITIONS
from gallery.services.pictures import get_image, may_edit
from gallery.services.ranges import ByteRange, NotSatisfiable, parse_range
from gallery.views.viewer import has_confirmed

logger = logging.getLogger(__name__)
CHUNK = 64 * 1024
IMMUTABLE = "public, max-age=31536000, immutable"
NOT_KEPT = "private, no-store"
MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
}
_HEADERS = {
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Authorization, Cookie",
}


@dataclass(frozen=True)
class MediaFile:
    """`etag` is made of the original's SHA-256, which with the size determines the bytes."""

    key: str
    format: str
    etag: str
    name: str


@require_safe
def image_file(request: HttpRequest, image_id: UUID | str) -> HttpResponseBase:
    """The original for its owner and operators, the largest rendition for others who see the picture."""
    image = _get_viewable(request, image_id)
    own = may_edit(request.user, image)
    return _serve(request, image, _original(image) if own else _rendition(image, RENDITIONS[-1]), own=own)


@require_safe
def image_thumbnail(request: HttpRequest, image_id: UUID | str, size: int) -> HttpResponseBase:
    if size not in RENDITIONS:
        raise Http404(f"Thumbnails have the sizes {', '.join(map(str, RENDITIONS))}.")
    image = _get_viewable(request, image_id)
    return _serve(request, image, _rendition(image, size), own=False)


def _get_viewable(request: HttpRequest, image_id: UUID | str) -> Image:
    image = get_image(request.user, image_id)
    if image.is_gated and not may_see_gated(request, image):
        raise PermissionDenied("This picture is for adults; confirm on the site that you are one.")
    return image


def may_see_gated(request: HttpRequest, image: Image) -> bool:
    """Its owner, operators, whoever has confirmed to be an adult, and programs, which ask by its id."""
    by_token = getattr(request, "api_token", None) is not None
    return by_token or has_confirmed(request) or may_edit(request.user, image)


def _original(image: Image) -> MediaFile:
    return MediaFile(image.original_key, image.format, image.sha256, f"imagineer-{image.pk.hex[-8:]}.{image.format}")


def _rendition(image: Image, size: int) -> MediaFile:
    name = f"imagineer-{image.pk.hex[-8:]}-{size}.webp"
    return MediaFile(image.rendition_key(size), "webp", f"{image.sha256}-{size}", name)


def _serve(request: HttpRequest, image: Image, media: MediaFile, *, own: bool) -> HttpResponseBase:
    response = _respond(request, media)
    disposition = "attachment" if "download" in request.GET else "inline"
    for name, value in _HEADERS.items():
        response[name] = value
    response["Content-Disposition"] = f'{disposition}; filename="{media.name}"'
    response["Cache-Control"] = IMMUTABLE if image.is_open_to_all and not own else NOT_KEPT
    return response


def _respond(request: HttpRequest, media: MediaFile) -> HttpResponseBase:
    etag = f'"{media.etag}"'
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        unchanged["ETag"] = etag
        return unchanged
    total = _size(media)
    try:
        part = _wanted_part(request, etag, total)
    except NotSatisfiable:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{total}"})
    response = StreamingHttpResponse(
        _chunks(media.key, part or ByteRange(0, total - 1, total)),
        status=206 if part else 200,
        content_type=MEDIA_TYPES[media.format],
    )
    response["ETag"] = etag
    response["Content-Length"] = str(part.length if part else total)
    if part:
        response["Content-Range"] = part.header
    return response


def _wanted_part(request: HttpRequest, etag: str, total: int) -> ByteRange | None:
    """If-Range: a part only of the version that the caller has begun with."""
    if request.headers.get("If-Range", etag) != etag:
        return None
    return parse_range(request.headers.get("Range", ""), total)


def _size(media: MediaFile) -> int:
    try:
        return int(default_storage.size(media.key))
    except FileNotFoundError as error:
        logger.error("the file %s is missing; `manage.py integrity` lists all such", media.key)
        raise Http404("The file of this picture is missing; an operator has been told.") from error


def _chunks(key: str, part: ByteRange) -> Iterator[bytes]:
    """Opens the file only when somebody reads, and closes it when they stop."""
    left = part.length
    with default_storage.open(key, "rb") as file:
        file.seek(part.first)
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
