"""Every refusal of the API as `application/problem+json` (RFC 9457), be it a view's, ninja's or Django's."""

import errno
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from imagineer.database import is_busy
from imagineer.errors import Conflict, FieldError, Invalid, TooMany
from imagineer.middleware import request_id

API_PREFIX = "/api/"
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # after which a store that is busy or full is worth another try
_OF_THE_OLD_BODY = ("Content-Type", "Content-Length", "Content-Disposition", "Cache-Control", "ETag")
_DEFAULT_DETAILS = {
    400: "The request can't be understood.",
    403: "You may not do this.",
    404: "There is nothing at this address.",
    405: "This address doesn't know that method; the Allow header lists those it knows.",
    413: "The request is too large.",
    500: "Something went wrong inside Imagineer; its log has the details under this trace_id.",
    503: "Imagineer is busy; try again in a moment.",
}


class Problem(Exception):
    """An answer other than the one asked for. `detail` is one sentence for people."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        errors: Iterable[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


def problem_response(problem: Problem) -> HttpResponse:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail or _DEFAULT_DETAILS.get(problem.status, HTTPStatus(problem.status).description),
        "errors": [asdict(error) for error in problem.errors],
        "trace_id": request_id.get(),
    }
    return HttpResponse(
        json.dumps(body),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


# Exceptions ---------------------------------------------------------------------------------------


def install(api: NinjaAPI) -> None:
    """What is no refusal is a bug: it is raised on, logged by Django and answered by the middleware."""
    for kind in (*_TRANSLATIONS, Problem, ValidationError):
        api.add_exception_handler(kind, _answer)
    api.add_exception_handler(Exception, _raise)


def problem_of(error: BaseException) -> Problem | None:
    """The refusal that an exception means; None when it means a bug."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return Problem(422, "Some fields are not valid.", errors=[_field_error(item) for item in error.errors])
    for kind, translate in _TRANSLATIONS.items():
        if isinstance(error, kind):
            return translate(error)
    return None


def _answer(request: HttpRequest, error: Any) -> HttpResponse:
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem_response(problem)


def _raise(request: HttpRequest, error: Any) -> HttpResponse:
    raise error


def _busy(error: Any) -> Problem | None:
    return unavailable("The database is busy; try again in a moment.") if is_busy(error) else None


def _full(error: Any) -> Problem | None:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return unavailable("The disk is full; nothing has been changed. An operator has to make room.")


def unavailable(detail: str, retry_after: int = RETRY_SECONDS) -> Problem:
    return Problem(503, detail, headers={"Retry-After": str(retry_after)})


def _http_error(error: Any) -> Problem:
    """Ninja's own. What our parser says of a body arrives as the cause."""
    if isinstance(error.__cause__, Problem):
        return error.__cause__
    if error.status_code == 401:
        return unauthenticated()
    return Problem(error.status_code, str(error))


def unauthenticated(detail: str = "", *, error: str = "") -> Problem:
    challenge = 'Bearer realm="Imagineer"' + (f', error="{error}"' if error else "")
    detail = detail or "Log in, or send an API token as Authorization: Bearer TOKEN."
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})


_TRANSLATIONS: dict[type[Exception], Callable[[Any], Problem | None]] = {
    Invalid: lambda e: Problem(422, "Some fields are not valid.", errors=e.errors),
    TooMany: lambda e: Problem(429, str(e), headers={"Retry-After": str(e.retry_after)}),
    Conflict: lambda e: Problem(409, str(e)),
    PermissionDenied: lambda e: Problem(403, str(e)),
    # What Django's resolver says names routes; our own sentences are for people.
    Http404: lambda e: Problem(404, e.args[0] if e.args and isinstance(e.args[0], str) else ""),
    RequestDataTooBig: lambda e: Problem(413),
    SuspiciousOperation: lambda e: Problem(400),
    MultiPartParserError: lambda e: Problem(
        400, "The parts of the body can't be told apart, or a file's name is too long."
    ),
    UnreadablePostError: lambda e: Problem(400, "The request broke off before its end."),
    HttpError: _http_error,
    OperationalError: _busy,
    OSError: _full,
}


# Validation ---------------------------------------------------------------------------------------

_MESSAGES = {
    "missing": "is required.",
    "extra_forbidden": "is not a field that is known here.",
    "string_type": "must be text.",
    "string_unicode": "contains characters that are not valid Unicode.",
    "int_type": "must be a whole number.",
    "int_from_float": "must be a whole number.",
    "int_parsing": "must be a whole number.",
    "int_parsing_size": "is a number that is too large.",
    "float_type": "must be a number.",
    "float_parsing": "must be a number.",
    "finite_number": "must be a finite number.",
    "bool_type": "must be true or false.",
    "bool_parsing": "must be true or false.",
    "list_type": "must be a list.",
    "model_type": "must be an object.",
    "model_attributes_type": "must be an object.",
    "dict_type": "must be an object.",
}


def _field_error(item: dict[str, Any]) -> FieldError:
    """`loc` is (source, parameter, field, …) for a body and (source, field, …) for everything else."""
    source, *path = item["loc"]
    path = [part for part in (path[1:] if source == "body" else path) if part != ""]
    field = str(path[0]) if path else str(source)
    inner = " ".join(f"item {part + 1}" if isinstance(part, int) else str(part) for part in path[1:])
    message = _message(item)
    return FieldError(field, f"{inner}: {message}" if inner else message)


def _message(item: dict[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        return f"is not one of {context['expected']}."
    if kind in ("greater_than_equal", "less_than_equal"):
        side, limit = ("least", context.get("ge")) if "ge" in context else ("most", context.get("le"))
        return f"must be at {side} {limit}."
    if kind in ("string_too_long", "too_long"):
        return f"is too long; at most {context['max_length']} are allowed."
    return f"{item['msg'][:1].lower()}{item['msg'][1:]}."


# What never reaches a view ------------------------------------------------------------------------


class ProblemMiddleware:
    """Gives Django's own refusals the same form, lets HEAD ask wherever GET may, and keeps answers out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        is_head = request.method == "HEAD"
        if is_head:
            request.method = "GET"
        response = self.get_response(request)
        if response.status_code >= 400 and not response.get("Content-Type", "").startswith(MEDIA_TYPE):
            response = _restate(response)
        # What one caller was told is nobody else's; calls that say otherwise have said so already.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return _without_body(response) if is_head else response


def _restate(response: HttpResponseBase) -> HttpResponse:
    headers = {name: value for name, value in response.items() if name not in _OF_THE_OLD_BODY}
    if "GET" in headers.get("Allow", ""):
        headers["Allow"] = ", ".join(sorted({"HEAD", *headers["Allow"].replace(" ", "").split(",")}))
    restated = problem_response(Problem(response.status_code, headers=headers))
    return _replace(response, restated)


def _without_body(response: HttpResponseBase) -> HttpResponse:
    length = response.get("Content-Length")
    if length is None and isinstance(response, HttpResponse):
        length = str(len(response.content))
    bare = HttpResponse(status=response.status_code, headers=dict(response.items()))
    if length is not None:
        bare["Content-Length"] = length
    return _replace(response, bare)


def _replace(old: Any, new: Any) -> Any:
    """What the old response holds (a file, a stream's place) is let go with the new one."""
    new.cookies = old.cookies
    new._resource_closers.extend(old._resource_closers)
    return new
