import errno
import json

import pytest
from django.db import OperationalError
from django.http import HttpRequest
from django.test import Client, RequestFactory
from ninja import NinjaAPI

from imagineer import problems
from imagineer.errors import Conflict, FieldError, Invalid, TooMany
from imagineer.models import User
from imagineer.problems import ProblemMiddleware
from tests.people import Api

FIELDS = {"type", "title", "status", "detail", "errors", "trace_id"}


def problem(response, status):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert set(body) == FIELDS
    assert body["status"] == status
    assert body["trace_id"] == response["X-Request-ID"]
    assert body["detail"].endswith(".")
    return body


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v1/nothing", "/api/v2/models", "/api/v1/models/"])
def test_unknown_paths_are_problems(db, path):
    assert problem(Client().get(path), 404)["title"] == "Not Found"


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/generations"])
def test_problems_keep_the_security_headers(db, path):
    response = Client().get(path)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_unknown_pages_are_not(db):
    assert Client().get("/nothing")["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("delete", "/models", "GET, HEAD"),
        ("put", "/generations", "GET, HEAD, POST"),
        ("post", "/images/x", "DELETE, GET, HEAD, PATCH"),
        ("get", "/generations/x/cancel", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(db, method, path, allow):
    response = getattr(Api(), method)(path)
    problem(response, 405)
    assert response["Allow"] == allow


def test_head_answers_like_get_without_a_body(db):
    head, get = Api().head("/samplers"), Api().get("/samplers")
    assert head.status_code == 200
    assert head.content == b""
    assert head["Content-Length"] == str(len(get.content))
    problem_head = Api().head("/nothing")
    assert (problem_head.status_code, problem_head.content) == (404, b"")


def test_answers_stay_out_of_shared_caches(member):
    assert Api(member).get("/generations")["Cache-Control"] == "private, no-cache"


def test_the_request_id_is_echoed(db):
    response = Client().get("/api/v1/nothing", headers={"X-Request-ID": "abc-1"})
    assert (response["X-Request-ID"], response.json()["trace_id"]) == ("abc-1", "abc-1")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "",
        '{"prompt": "x", "guidance": NaN}',
        '{"prompt": "x", "guidance": Infinity}',
        '{"prompt": "x", "guidance": 1e999}',
        '{"prompt": "x", "prompt": "y"}',
        "[" * 100_000,
        b'{"prompt": "\xff"}',
        '{"prompt": "x", "seed": ' + "9" * 5000 + "}",
    ],
)
def test_a_body_that_is_not_json_is_refused(member, body):
    response = Api(member).post("/generations", body, content_type="application/json")
    if body == "":
        assert problem(response, 422)["errors"] == [{"field": "body", "message": "is required."}]
    else:
        assert problem(response, 400)["detail"].startswith("The body is not valid JSON: ")


@pytest.mark.parametrize("body", ["[]", '"x"', "3", "null"])
def test_a_body_that_is_no_object_is_refused(member, body):
    response = Api(member).post("/generations", body, content_type="application/json")
    assert [error["field"] for error in problem(response, 422)["errors"]] == ["body"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_other_content_types_are_refused(member, kind):
    response = Api(member).post("/generations", '{"prompt": "x"}', content_type=kind)
    assert problem(response, 415)["detail"] == "Send the body as application/json."


def test_a_form_is_refused(member):
    problem(Api(member).post("/generations", {"prompt": "x"}), 415)


def test_a_body_that_is_too_large_is_refused(member, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    problem(Api(member).send("/generations", {"prompt": "x" * 1000}), 413)


def test_a_foreign_host_is_a_problem_too(db):
    problem(Client().get("/api/v1/models", headers={"Host": "evil.example"}), 400)


# What services raise: a small API of its own, with the real handlers and the real middleware


REFUSALS = {
    "invalid": (Invalid(FieldError("width", "is 3.")), 422, {}),
    "too-many": (TooMany("Wait.", 17), 429, {"Retry-After": "17"}),
    "conflict": (Conflict("It has ended."), 409, {}),
    "locked": (OperationalError("database is locked"), 503, {"Retry-After": "5"}),
    "full": (OSError(errno.ENOSPC, "No space left on device"), 503, {"Retry-After": "5"}),
}


@pytest.fixture(scope="module")
def refusing():
    api = NinjaAPI(urls_namespace="refusing")
    problems.install(api)

    @api.get("/{name}")
    def refuse(request: HttpRequest, name: str) -> None:
        raise {**{key: value[0] for key, value in REFUSALS.items()}, "bug": ZeroDivisionError()}[name]

    return api.urls[0]


def ask(refusing, name):
    view = next(pattern for pattern in refusing if pattern.name == "refuse").callback
    request = RequestFactory().get(f"/api/v1/{name}")
    middleware = ProblemMiddleware(lambda request: view(request, name=name))
    return middleware(request)


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_of_services_become_problems(refusing, name):
    _, status, headers = REFUSALS[name]
    response = ask(refusing, name)
    assert response.status_code == status
    assert {key: response[key] for key in headers} == headers
    body = json.loads(response.content)
    assert body["errors"] == ([{"field": "width", "message": "is 3."}] if name == "invalid" else [])


def test_bugs_are_raised_on(refusing):
    with pytest.raises(ZeroDivisionError):
        ask(refusing, "bug")


def test_a_bug_is_answered_without_its_details(member: User, settings):
    settings.DEBUG = True  # Django's own page would show settings and source
    settings.PROBE = "secret"
    client = Api(member)
    client.raise_request_exception = False
    settings.QUEUE_PER_USER = "not a number"  # a setting that no check has stopped
    from gallery.tests.makers import make_model

    make_model("tiny", is_default=True)
    body = problem(client.send("/generations", {"prompt": "x"}), 500)
    assert body["errors"] == []
    assert "not a number" not in body["detail"]
    assert "QUEUE_PER_USER" not in body["detail"]
