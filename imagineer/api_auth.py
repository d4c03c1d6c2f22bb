"""Who calls: a person with a session and a CSRF token, or a program with an API token and its scopes."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from imagineer.models import ApiToken
from imagineer.problems import Problem, unauthenticated

Scope = ApiToken.Scope
SAFE_METHODS = ("GET", "HEAD")
USE_NOTED = timedelta(minutes=1)  # how exactly the last use of a token is known


class ApiTokenAuth(HttpBearer):
    """Whoever sends a token is judged by it alone: a bad one is never made up for by a session."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__()

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        return user_of_token(request, token, self.scope)


class SessionCookieAuth(APIKeyCookie):
    """The session of the site; a call that changes something also needs its CSRF token in X-CSRFToken."""

    param_name = "imagineer"

    def __call__(self, request: HttpRequest) -> Any:
        user = request.user
        if not user.is_authenticated:
            return None
        if request.method not in SAFE_METHODS and check_csrf(request):
            raise Problem(403, "The CSRF token is missing or wrong; send the cookie's in X-CSRFToken.")
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return self(request)


class Anybody:
    """Comes last where visitors may ask too."""

    def __call__(self, request: HttpRequest) -> Any:
        return AnonymousUser()


_SESSION = SessionCookieAuth()
READ = [ApiTokenAuth(Scope.READ), _SESSION]
WRITE = [ApiTokenAuth(Scope.WRITE), _SESSION]
GENERATE = [ApiTokenAuth(Scope.GENERATE), _SESSION]
OPERATE = [ApiTokenAuth(Scope.OPERATE), _SESSION]
OPEN = [ApiTokenAuth(Scope.READ), _SESSION, Anybody()]


def user_of_token(request: HttpRequest, text: str, scope: str) -> Any:
    """The token's owner, with the powers that the token has; they become the user of the request."""
    token = ApiToken.objects.usable().filter(digest=ApiToken.digest_of(text.strip())).select_related("user").first()
    if token is None:
        raise unauthenticated("This API token is unknown, expired or revoked.", error="invalid_token")
    if scope not in token.scopes:
        raise Problem(403, f"This API token lacks the scope {str(scope)!r}.")
    _note_use(token)
    user = token.user
    if Scope.OPERATE not in token.scopes:
        user.is_operator = False
    request.user = user
    request.api_token = token  # type: ignore[attr-defined]
    return user


def require_operator(request: HttpRequest) -> Any:
    if not request.user.is_authenticated:
        raise unauthenticated()
    if not request.user.is_operator:
        raise PermissionDenied("Only operators may do this.")
    return request.user


def require_permission(request: HttpRequest, permission: str, sentence: str) -> Any:
    if not request.user.has_perm(permission):
        raise PermissionDenied(sentence)
    return request.user


def _note_use(token: ApiToken) -> None:
    """Looks before it writes: even an UPDATE that finds nothing waits for SQLite's one writer."""
    now = timezone.now()
    if token.last_used_at and token.last_used_at > now - USE_NOTED:
        return
    with suppress(OperationalError):  # a busy database must not keep anybody from reading
        token.touch(now)
