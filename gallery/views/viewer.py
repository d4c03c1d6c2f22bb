"""What every view asks about the person who looks."""

from typing import Any

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

ADULT = "adult"  # the session's note that its visitor has confirmed to be an adult


def has_confirmed(request: HttpRequest) -> bool:
    return bool(request.session.get(ADULT))


def may_generate(user: Any) -> bool:
    return bool(user.has_perm("gallery.add_generation"))


def is_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def next_page(request: HttpRequest, default: str) -> str:
    """Where a form wants to go afterwards, if that is on this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(wanted, hosts, require_https=request.is_secure()):
        return wanted
    return default
