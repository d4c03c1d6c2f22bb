"""What every template may use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from imagineer.accounts import form_is_open


def site(request: HttpRequest) -> dict[str, Any]:
    return {
        "signup_open": form_is_open(),
        "google": settings.GOOGLE_CLIENT_ID,
    }
