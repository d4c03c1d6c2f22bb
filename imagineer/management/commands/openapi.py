import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from imagineer.api import api


def document_text() -> str:
    return json.dumps(api.get_openapi_schema(), indent=2, ensure_ascii=False) + "\n"


class Command(BaseCommand):
    help = "Writes the OpenAPI document of the API to openapi.json."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether the file is up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "openapi.json"
        if not options["check"]:
            path.write_text(document_text(), encoding="utf-8")
            self.stdout.write(f"{path} is written.")
        elif not path.is_file() or path.read_text(encoding="utf-8") != document_text():
            raise CommandError("openapi.json is out of date; run `manage.py openapi`.")
