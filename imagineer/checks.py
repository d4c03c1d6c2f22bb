"""Settings that would hurt, found before they do: `manage.py check`, and at every start."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from imagineer import queue


@register()
def check_queues(**kwargs: Any) -> list[CheckMessage]:
    """A queue whose retry is too short runs long jobs twice."""
    return [
        Error(f"Queue {name}: {reason}.", hint="Raise retry or lower timeout in QUEUES.", id="imagineer.E001")
        for name, options in settings.QUEUES.items()
        if (reason := queue.is_risky(options))
    ]


@register()
def check_secret_key(**kwargs: Any) -> list[CheckMessage]:
    if len(settings.SECRET_KEY) >= 32 and not settings.SECRET_KEY.startswith("django-insecure"):
        return []
    return [
        Error(
            "SECRET_KEY is shorter than 32 characters or a published example.",
            hint="Unset it, so that one is made and kept, or set a long random one.",
            id="imagineer.E002",
        )
    ]


@register()
def check_data_folder(**kwargs: Any) -> list[CheckMessage]:
    probe = Path(settings.DATA_DIR) / f".write-{id(kwargs)}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return [
            Error(
                f"IMAGINEER_DATA_DIR: can't write to {settings.DATA_DIR}: {error.strerror}.",
                id="imagineer.E003",
            )
        ]
    return []


@register()
def check_public_without_https(**kwargs: Any) -> list[CheckMessage]:
    local = {"127.0.0.1", "localhost", "::1"}
    if settings.HTTPS or settings.HOST in local or settings.TESTING:
        return []
    return [
        Warning(
            f"HOST is {settings.HOST}: the site can be reached from other machines, and passwords travel in the clear.",
            hint="Put a proxy with TLS in front and set IMAGINEER_BASE_URL=https://…",
            id="imagineer.W001",
        )
    ]


@register()
def check_debug(**kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG or settings.HOST in {"127.0.0.1", "localhost", "::1"}:
        return []
    return [Error("DEBUG is on and HOST is open to other machines.", hint="Unset DEBUG.", id="imagineer.E004")]


@register()
def check_cache_shared(**kwargs: Any) -> list[CheckMessage]:
    engine = settings.DATABASES["default"]["ENGINE"]
    if settings.REDIS_URL or engine.endswith("sqlite3"):
        return []
    return [
        Warning(
            "Each web process counts log-in attempts by itself: the cache is not shared.",
            hint="Set REDIS_URL when several web processes run.",
            id="imagineer.W002",
        )
    ]


@register()
def check_signup_list(**kwargs: Any) -> list[CheckMessage]:
    if not settings.SIGNUP_ALLOW or settings.SIGNUP_OPEN or settings.EMAIL_HOST:
        return []
    return [
        Warning(
            "IMAGINEER_SIGNUP_ALLOW opens the sign-up form to nobody: without a mail server no address is verified.",
            hint="Set EMAIL_HOST. Accounts of Google, whose addresses are verified, may be opened all the same.",
            id="imagineer.W003",
        )
    ]
