"""What every template may use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    return {
        "signup_open": settings.SIGNUP_OPEN or bool(settings.SIGNUP_ALLOW),
        "google": settings.GOOGLE_CLIENT_ID,
    }
