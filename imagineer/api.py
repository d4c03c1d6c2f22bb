"""The root of the JSON API: /api/v1/."""

import json
import math
from typing import Any, NoReturn

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import NinjaAPI, Router
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from imagineer import problems
from imagineer.api_auth import READ
from imagineer.events_stream import stream_events
from imagineer.problems import Problem
from imagineer.run_answers import find_run

VERSION = "1.0.0"
_REFUSALS = (401, 403, 404, 409, 413, 415, 422, 429, 503)
_PROBLEM_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `trace_id` is the X-Request-ID, by which operators find the call in the log.",
    "required": ["type", "title", "status", "detail", "errors", "trace_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "trace_id": {"type": "string"},
    },
}


class StrictParser(Parser):
    """JSON as RFC 8259 has it: no NaN, no infinity, no field named twice."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type != "application/json":
            raise Problem(415, "Send the body as application/json.")
        try:
            return json.loads(request.body, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise Problem(400, f"The body is not valid JSON: {_where(error)}.") from error


class Api(NinjaAPI):
    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """Ninja's, with what every call may answer instead."""
        schema = super().get_openapi_schema(**kwargs)
        schema["components"]["schemas"]["Problem"] = _PROBLEM_SCHEMA
        schema["components"]["responses"] = {
            "Problem": {
                "description": f"Refused: {', '.join(map(str, _REFUSALS))}",
                "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        }
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
        return schema


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object names a field twice")
    return found


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


runs = Router(tags=["runs"])


@runs.get(
    "/{run_id}/events",
    auth=READ,
    summary="Follow a run",
    openapi_extra={
        "responses": {200: {"description": "Server-Sent Events, one per change", "content": {"text/event-stream": {}}}}
    },
)
def run_events(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """Each event's data is the run; the stream ends after a terminal state. Last-Event-ID is understood."""
    return stream_events(request, find_run(request.user, run_id))


api = Api(
    title="Imagineer",
    version=VERSION,
    description="Generate, describe and publish pictures. docs/api.md tells the rules that all calls share.",
    urls_namespace="api",
    parser=StrictParser(),
)
problems.install(api)
api.add_router("/runs", runs)
api.add_router("", "gallery.api.router")
