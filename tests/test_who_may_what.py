"""Every route × who asks × which picture, from the URL patterns and the OpenAPI document.

A route without a row fails. Answers are those of the session; what an API token may less is tested with the API.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client, override_settings
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from gallery.models import Image
from gallery.tests.makers import make_generation, make_image, make_lora, make_model
from imagineer.models import User
from tests.people import hang_up, make_user

pytestmark = pytest.mark.django_db
NOBODY = ("anonymous", "deactivated")
OPERATORS = ("operator", "superuser")
PEOPLE = (*NOBODY, "owner", "other", *OPERATORS)
PICTURES: dict[str, dict[str, Any]] = {
    "public": {"visibility": "public", "rating": "safe"},
    "unlisted": {"visibility": "unlisted", "rating": "safe"},
    "private": {},
    "adult": {"visibility": "public", "rating": "adult"},
    "trashed": {"visibility": "public", "rating": "safe", "deleted_at": True},
}
Rule = Callable[[str, str], int]


# Rules: a status for who asks about which picture -------------------------------------------------------------------


def may_edit(person: str) -> bool:
    return person == "owner" or person in OPERATORS


def may_open(person: str, kind: str) -> bool:
    return kind != "trashed" and (kind != "private" or may_edit(person))


def is_listed(person: str, kind: str) -> bool:
    """In lists and searches, without having confirmed to be an adult."""
    if kind == "trashed":
        return False
    return kind == "public" or person == "owner" or (person in OPERATORS and kind != "adult")


def opens(person: str, kind: str) -> int:
    return 200 if may_open(person, kind) else 404


def sends(person: str, kind: str) -> int:
    if not may_open(person, kind):
        return 404
    return 200 if kind != "adult" or may_edit(person) else 403


def changes(login: int, done: int) -> Rule:
    def rule(person: str, kind: str) -> int:
        if person in NOBODY:
            return login
        if not may_open(person, kind):
            return 404
        return done if may_edit(person) else 403

    return rule


def restores(login: int, done: int) -> Rule:
    return lambda person, kind: login if person in NOBODY else done if may_edit(person) else 404


def members(login: int, seen: int, hidden: int) -> Rule:
    """What every member may do with a picture that they may open."""
    return lambda person, kind: login if person in NOBODY else seen if may_open(person, kind) else hidden


def own(login: int, done: int, other: int = 404) -> Rule:
    """On the owner's generation, whatever picture it made."""
    return lambda person, kind: login if person in NOBODY else done if may_edit(person) else other


def always(status: int) -> Rule:
    return lambda person, kind: status


def logged_in(login: int) -> Rule:
    return lambda person, kind: login if person in NOBODY else 200


def operators(login: int, other: int) -> Rule:
    return lambda person, kind: 200 if person in OPERATORS else login if person in NOBODY else other


# Which answers may name the picture ----------------------------------------------------------------------------------


def only_public(person: str, kind: str) -> bool:
    return kind == "public"


def only_own(person: str, kind: str) -> bool:
    return person == "owner" and kind != "trashed"


def of_generation(person: str, kind: str) -> bool:
    return may_edit(person) and kind != "trashed"


@dataclass(frozen=True)
class Row:
    """`status` of the answer; `names` says whether it tells of the picture, where that is not clear by the status."""

    status: Rule
    names: Callable[[str, str], bool] | None = None
    method: str = "get"
    query: str = ""
    body: dict[str, str] = field(default_factory=dict)


API = "api/v1/"
ROWS = {
    # Pages
    "": Row(always(200), only_public),
    "search": Row(always(200), is_listed, query="?q=owl"),
    "loras": Row(always(200), is_listed),
    "loras/<slug:slug>": Row(always(200), is_listed),
    "feed.atom": Row(always(200), only_public),
    "sitemap-<section>.xml": Row(always(200), only_public),
    "mine": Row(logged_in(302), only_own),
    "images/<uuid:pk>": Row(opens),
    "images/<uuid:image_id>/file": Row(sends),
    "images/<uuid:image_id>/thumbnail/<int:size>.webp": Row(sends),
    "images/<uuid:pk>/publish": Row(changes(302, 302), method="post"),
    "images/<uuid:pk>/unpublish": Row(changes(302, 302), method="post"),
    "images/<uuid:pk>/describe": Row(changes(302, 302), method="post", body={"title": "New"}),
    "images/<uuid:pk>/trash": Row(changes(302, 302), method="post"),
    "images/<uuid:pk>/restore": Row(restores(302, 302), method="post"),
    "images/<uuid:pk>/verify": Row(members(302, 302, 404), method="post"),
    "create": Row(members(302, 200, 404), query="?like={pk}"),
    "generations/<uuid:pk>/card": Row(own(302, 302)),
    "generations/<uuid:pk>/cancel": Row(own(302, 302), method="post"),
    "generations/<uuid:pk>/preview": Row(own(302, 404)),
    "upload": Row(logged_in(302), lambda person, kind: False),
    # Pages that tell of no picture
    **{path: Row(logged_in(302), lambda person, kind: False) for path in ("queue", "queue/badge")},
    **{path: Row(always(200), lambda p, k: False) for path in ("sitemap.xml", "robots.txt", "adult", "healthz")},
    "favicon.ico": Row(always(302)),
    "readyz": Row(always(503)),  # no worker runs here
    "metrics": Row(operators(401, 403), lambda person, kind: False),
    # The API's own pages
    API: Row(always(404)),
    **{f"{API}{path}": Row(always(200), lambda person, kind: False) for path in ("openapi.json", "docs")},
    # The API
    f"get {API}images": Row(always(200), is_listed, query="?q=owl"),
    f"post {API}images": Row(members(401, 422, 422), method="post"),  # without a file; files have tests of their own
    f"get {API}images/{{image_id}}": Row(opens),
    f"patch {API}images/{{image_id}}": Row(changes(401, 200), method="patch", body={"title": "New"}),
    f"delete {API}images/{{image_id}}": Row(changes(401, 204), method="delete"),
    f"post {API}images/{{image_id}}/restore": Row(restores(401, 200), method="post"),
    f"get {API}images/{{image_id}}/file": Row(sends),
    f"get {API}images/{{image_id}}/thumbnail": Row(sends),
    f"get {API}images/{{image_id}}/lineage": Row(opens),
    f"get {API}images/{{image_id}}/parameters": Row(opens),
    f"get {API}generations": Row(logged_in(401), lambda person, kind: False),
    f"post {API}generations": Row(
        members(401, 202, 422), method="post", body={"prompt": "a fox", "init_image": "{pk}"}
    ),
    f"get {API}generations/{{generation_id}}": Row(own(401, 200), of_generation),
    f"post {API}generations/{{generation_id}}/cancel": Row(own(401, 409), method="post"),
    f"post {API}generations/{{generation_id}}/rerun": Row(own(401, 202), method="post"),
    f"get {API}generations/{{generation_id}}/log": Row(operators(401, 403)),
    f"get {API}generations/{{generation_id}}/preview": Row(own(401, 204)),
    f"get {API}runs/{{run_id}}/events": Row(own(401, 200)),
    **{
        f"get {API}{path}": Row(always(200), lambda person, kind: False)
        for path in ("models", "samplers", "loras", "loras/{lora_id}", "themes/random")
    },
}


# The routes that there are -------------------------------------------------------------------------------------------


def patterns(entries: list[Any], prefix: str = "") -> Iterator[str]:
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from patterns(entry.url_patterns, route)


def pages() -> set[str]:
    return {route for route in patterns(get_resolver().url_patterns) if not route.startswith(("admin/", "accounts/"))}


def calls() -> set[str]:
    document = json.loads((Path(django_settings.BASE_DIR) / "openapi.json").read_text())
    return {f"{method} {path.lstrip('/')}" for path, operations in document["paths"].items() for method in operations}


def routes() -> set[str]:
    """Pages by their pattern, calls of the API by method and path: its patterns serve several methods."""
    described = {call.partition(" ")[2].replace("{", "<").replace("}", ">") for call in calls()}
    return {route for route in pages() if route not in described} | calls()


def console() -> list[str]:
    return sorted(route for route in patterns(get_resolver().url_patterns) if route.startswith("admin/"))


# Asking --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """Everybody, and a picture of each kind with a generation and a LoRA of its own; each request is undone."""
    folder = tmp_path_factory.mktemp("world")
    default = {**django_settings.STORAGES["default"], "OPTIONS": {"location": folder / "media"}}
    storages = {**django_settings.STORAGES, "default": default}
    with (
        django_db_blocker.unblock(),
        override_settings(DATA_DIR=folder, STORAGES=storages, GENERATIONS_PER_MINUTE=0),
        transaction.atomic(),
    ):
        yield make_world(folder)
        transaction.set_rollback(True)


def make_world(folder: Path) -> Any:
    users = {name: make_user(name, "member") for name in ("owner", "other", "deactivated")}
    users["operator"] = make_user("operator", "operator", "member")
    users["superuser"] = User.objects.create_superuser("superuser@example.org", None)
    model = make_model("tiny", is_default=True)
    images = {}
    for kind, fields in PICTURES.items():
        generation = make_generation(users["owner"], model, [(make_lora(f"lora-{kind}"), 0.8)])
        deleted = {"deleted_at": timezone.now()} if "deleted_at" in fields else {}
        images[kind] = make_image(
            folder, owner=users["owner"], generation=generation, index=0, alt="an owl", **{**fields, **deleted}
        )
    clients = {"anonymous": Client()}
    for name, user in users.items():
        clients[name] = Client()
        clients[name].force_login(user)
    User.objects.filter(pk=users["deactivated"].pk).update(is_active=False)
    return SimpleNamespace(images=images, clients=clients)


def address(route: str, kind: str, image: Image) -> str:
    of_run = route.partition("/<")[0] in ("generations", "runs") or "generation_id" in route or "run_id" in route
    pk = str(image.generation_id if of_run else image.pk)
    values = {
        "<uuid:pk>": pk, "<uuid:image_id>": pk, "{image_id}": pk, "{generation_id}": pk, "{run_id}": pk,
        "<int:size>": "300", "<slug:slug>": f"lora-{kind}", "<section>": "pictures", "{lora_id}": f"lora-{kind}",
    }  # fmt: skip
    path = route.partition(" ")[2] or route
    for name, value in values.items():
        path = path.replace(name, value)
    return f"/{path}"


def ask(client: Client, route: str, kind: str, image: Image) -> tuple[int, bool]:
    """The status, and whether the answer names the picture; what the request has changed is undone."""
    row = ROWS[route]
    path = address(route, kind, image) + row.query.format(pk=image.pk)
    body = {name: value.format(pk=image.pk) for name, value in row.body.items()}
    sent = {"content_type": "application/json"} if " " in route and row.method != "get" else {}
    with transaction.atomic():
        response = getattr(client, row.method)(path, body or ({} if sent else None), **sent)
        transaction.set_rollback(True)
    if response.streaming:
        hang_up(response)
        return response.status_code, False
    return response.status_code, str(image.pk) in response.content.decode(errors="replace")


def test_every_route_has_a_row() -> None:
    assert routes() == set(ROWS)


@pytest.mark.parametrize("route", sorted(ROWS))
def test_who_may_what(world: Any, route: str) -> None:
    row = ROWS[route]
    told, expected = {}, {}
    for person in PEOPLE:
        for kind, image in world.images.items():
            status, names = ask(world.clients[person], route, kind, image)
            told[person, kind] = (status, names if row.names else None)
            expected[person, kind] = (row.status(person, kind), row.names(person, kind) if row.names else None)
    assert told == expected


def test_only_operators_see_the_console(world: Any) -> None:
    """Whatever the address: its pages answer nobody else, and the log-in itself tells of no picture."""
    pk = str(world.images["private"].pk)
    opened = set()
    for route in console():
        path = "/" + route.replace("<path:object_id>", pk).replace("<uuid:object_id>", pk)
        for person in (*NOBODY, "owner", "other"):
            response = world.clients[person].get(path)
            assert pk not in response.content.decode(errors="replace").replace(path, "") or response.status_code == 302
            if response.status_code == 200:
                opened.add(route)
    assert {route for route in opened if "login" not in route} == set()
    change = f"/admin/gallery/image/{pk}/change/"
    assert [world.clients[person].get(change).status_code for person in OPERATORS] == [200, 200]
