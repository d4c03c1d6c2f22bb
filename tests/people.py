"""The people of every test, and how they call the API."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import Client

from imagineer.models import ApiToken, User


def make_user(name: str, *roles: str) -> User:
    user = User.objects.create_user(f"{name}@example.org", None, name=name.title())
    user.groups.set([Group.objects.get(name=role) for role in roles])
    return user


class Api(Client):
    """A program with a token. `get("/generations")` asks for /api/v1/generations; JSON goes out by default."""

    def __init__(self, user: User | None = None, *scopes: str) -> None:
        headers = {}
        if user is not None:
            _, secret = ApiToken.issue(user, name="test", scopes=list(scopes) or None)
            headers = {"Authorization": f"Bearer {secret}"}
        super().__init__(headers=headers)

    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().generic(method, path if path.startswith("/api/") else f"/api/v1{path}", *args, **kwargs)

    def send(self, path: str, body: Any = None, *, method: str = "post", **headers: str) -> Any:
        ask = getattr(self, method)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(path, data=body, content_type="application/json", headers=named)


def field_errors(response: Any) -> dict[str, str]:
    """Of a refusal: what it says about which field."""
    assert response.status_code == 422, response.content
    assert response["Content-Type"] == "application/problem+json"
    return {error["field"]: error["message"] for error in response.json()["errors"]}


def hang_up(response: Any) -> None:
    """Closes a stream as a web server does when its caller is gone, but keeps the test's database connection."""
    if response.streaming:
        response._iterator.close()  # when its reading has begun, the test client's own wrapper closes it all
    if response.closed:
        return
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)
