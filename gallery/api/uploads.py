"""`POST /images`: pictures from elsewhere."""

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import File, Form
from ninja.files import UploadedFile

from gallery.api.images import router
from gallery.schemas import RejectedOut, UploadedOut, UploadIn, UploadsOut
from gallery.services.uploads import Intake, take_uploads
from gallery.views.arrivals import arrived
from imagineer.api_auth import WRITE, require_permission
from imagineer.errors import FieldError, Invalid
from imagineer.idempotency import Answer, answer_again
from imagineer.problems import Problem

__all__ = ["router"]
FILES = "files"


@router.post("", auth=WRITE, response={201: UploadsOut}, summary="Send pictures")
def upload_images(request: HttpRequest, payload: Form[UploadIn], files: File[list[UploadedFile]]) -> HttpResponse:
    """Each file is taken or refused by itself: 201 when one was taken, 422 when none was, 413 when all are too large.

    The same bytes again answer the picture that is there, out of the trash if need be.
    """
    require_permission(request, "gallery.add_image", "Only members may send pictures.")
    _check_names(request, payload)
    return answer_again(request, lambda: _digest(request, files), lambda: _take(request, payload, files))


def _take(request: HttpRequest, payload: UploadIn, files: list[Any]) -> Answer:
    visibility, caption = payload.visibility, payload.caption or ""
    intake = take_uploads(request.user, arrived(files), visibility=visibility, caption=caption)
    if not intake.taken:
        raise _refusal(intake)
    body = UploadsOut(
        items=[UploadedOut.of_upload(taken) for taken in intake.taken],
        rejected=[RejectedOut(filename=each.name, reason=each.reason, code=each.code) for each in intake.rejected],
    )
    return Answer(201, body.model_dump(mode="json"))


def _refusal(intake: Intake) -> Problem:
    errors = [FieldError(FILES, f"{each.name}: {each.reason}") for each in intake.rejected]
    return Problem(413 if intake.is_too_large else 422, "None of the files can be taken.", errors=errors)


def _check_names(request: HttpRequest, payload: UploadIn) -> None:
    unknown = [*(request.POST.keys() - UploadIn.model_fields.keys()), *(request.FILES.keys() - {FILES})]
    errors = [FieldError(name, "is not a field that is known here.") for name in sorted(unknown)]
    if payload.album:
        errors.append(FieldError("album", f"There is no album {payload.album!r}, or you may not add to it."))
    if errors:
        raise Invalid(*errors)


def _digest(request: HttpRequest, files: list[Any]) -> str:
    """Of what was sent: the boundary between its parts, which differs each time, says nothing."""
    digest = hashlib.sha256(repr(sorted(request.POST.lists())).encode())
    for file in files:
        digest.update(repr(file.name).encode())
        for chunk in file.chunks():
            digest.update(chunk)
        file.seek(0)
    return digest.hexdigest()
