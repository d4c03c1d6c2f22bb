"""The upload page: a plain form, to which a script adds dropping, progress and one request for each file."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from gallery.forms import UploadForm
from gallery.models import Image
from gallery.services.uploads import Intake, take_uploads
from gallery.views.arrivals import arrived
from gallery.views.viewer import is_htmx
from imagineer.errors import Invalid

FILES = "files"


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("gallery.add_image", raise_exception=True)
def upload(request: HttpRequest) -> HttpResponse:
    """The body is looked at behind these checks, by the CSRF check of `_upload`, and not by the middleware before."""
    try:
        return _upload(request)
    except RequestDataTooBig:
        most = settings.UPLOAD_REQUEST_BYTES // 2**20
        return _page(request, UploadForm(), 413, problem=f"That is more than {most} MiB at once; send fewer files.")


@csrf_protect
def _upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, UploadForm())
    form, files = UploadForm(request.POST), request.FILES.getlist(FILES)
    if not files:
        return _page(request, form, 422, problem="Choose at least one picture.")
    if not form.is_valid():
        return _page(request, form, 422)
    try:
        intake = take_uploads(request.user, arrived(files), **form.cleaned_data)
    except Invalid as refusal:
        for error in refusal.errors:
            form.add_error(error.field, f"It {error.message}")
        return _page(request, form, 422)
    if is_htmx(request):
        return render(request, "gallery/_upload_results.html", _results(intake))
    return _page(request, UploadForm(initial=form.cleaned_data), 200 if intake.taken else 422, **_results(intake))


def _results(intake: Intake) -> dict[str, Any]:
    near = {pk for taken in intake.taken for pk in taken.near}
    alike = {image.pk: image for image in Image.objects.filter(pk__in=near)} if near else {}
    taken = [(each, [alike[pk] for pk in each.near if pk in alike]) for each in intake.taken]
    return {"taken": taken, "rejected": intake.rejected}


def _page(request: HttpRequest, form: UploadForm, status: int = 200, **context: Any) -> HttpResponse:
    limits = {
        "file_mib": settings.UPLOAD_FILE_BYTES // 2**20,
        "file_bytes": settings.UPLOAD_FILE_BYTES,
        "request_mib": settings.UPLOAD_REQUEST_BYTES // 2**20,
        "megapixels": settings.UPLOAD_PIXELS // 1_000_000,
    }
    return render(request, "gallery/upload.html", {"form": form, "limits": limits, **context}, status=status)
