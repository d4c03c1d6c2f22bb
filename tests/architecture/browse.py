"""Run by test_web_process.py in a process of its own: uses the site, then writes which modules it has loaded, as JSON.

Calls every address that needs no argument, as a visitor and as an administrator, and places an order.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "imagineer.settings"
    import django

    django.setup()
    after_setup = sorted(sys.modules)
    answers = use_the_site()
    json.dump({"after setup": after_setup, "after use": sorted(sys.modules), "answers": answers}, sys.stdout)


def use_the_site() -> dict[str, int]:
    from django.conf import settings
    from django.test import Client

    from imagineer.models import ApiToken, User

    settings.ALLOWED_HOSTS.append("testserver")
    boss = User.objects.create_superuser("boss@example.org", None)
    inside = Client()
    inside.force_login(boss, backend=settings.AUTHENTICATION_BACKENDS[0])
    _, secret = ApiToken.issue(boss, name="test")
    answers = {}
    for path in sorted(plain_addresses()):
        Client().get(path)
        answers[path] = inside.get(path).status_code
    order = {"prompt": "red apple", "sampler": "Euler a", "loras": []}
    api = Client(headers={"Authorization": f"Bearer {secret}"})
    answers["order"] = api.post("/api/v1/generations", order, content_type="application/json").status_code
    answers["form"] = inside.post("/create", {"prompt": "red apple"}).status_code
    return answers


def plain_addresses() -> Iterator[str]:
    from django.urls import URLPattern, get_resolver

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for entry in patterns:
            route = prefix + str(entry.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
            if isinstance(entry, URLPattern):
                yield route
            else:
                yield from walk(entry.url_patterns, route)

    for route in walk(get_resolver().url_patterns, "/"):
        if not set(route) & set("<(?\\[") and "logout" not in route:
            yield route


if __name__ == "__main__":
    main()
