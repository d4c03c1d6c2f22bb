import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from imagineer.management.commands.openapi import document_text
from tests.people import hang_up

COMMITTED = Path(settings.BASE_DIR) / "openapi.json"


def test_the_committed_document_is_that_of_the_code():
    """`manage.py openapi` writes it anew."""
    assert COMMITTED.read_text() == document_text()


def test_the_check_tells_when_it_is_not(tmp_path, settings):
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match="out of date"):
        call_command("openapi", "--check")
    call_command("openapi")
    call_command("openapi", "--check")


def test_it_is_served(db):
    response = Client().get("/api/v1/openapi.json")
    assert response.json() == json.loads(COMMITTED.read_text())


def test_every_call_is_described_once_and_may_be_refused():
    document = json.loads(COMMITTED.read_text())
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert all(each["responses"]["default"] == {"$ref": "#/components/responses/Problem"} for each in operations)
    assert all(each["summary"] for each in operations)


def test_the_documentation_asks_no_other_host(db):
    page = Client().get("/api/v1/docs")
    assert page.status_code == 200
    assert b"https://" not in page.content
    assert b"/static/ninja/swagger-ui-bundle.js" in page.content
    script = Client().get("/static/ninja/swagger-ui-bundle.js")
    assert script.status_code == 200
    hang_up(script)


HEAVY = ("torch", "diffusers", "transformers", "peft", "scrapy", "twisted", "docker", "numpy")
PROBE = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "imagineer.settings"
import django
django.setup()
import imagineer.urls
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_the_api_loads_nothing_heavy():
    """In a fresh process: this one has run engines' tests."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, cwd=settings.BASE_DIR, check=True
    )
    assert done.stdout.strip() == "[]"
