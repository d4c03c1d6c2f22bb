import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery.metadata import a1111_text, read_metadata


class Command(BaseCommand):
    help = "Prints the generation parameters found in a picture, whichever program wrote them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true", help="print what was found as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            found = read_metadata(path)
        except OSError as error:
            raise CommandError(f"{path} can't be read: {error.strerror}.") from error
        if found is None:
            raise CommandError(f"{path.name} carries no generation parameters.")
        if options["json"]:
            parameters = found.parameters.to_json() if found.parameters else None
            print(json.dumps({"source": found.source, "parameters": parameters, "document": found.document}))
            return
        print(f"Written by {found.source}")
        if found.parameters:
            print(a1111_text(found.parameters))
        if found.document:
            print(json.dumps(found.document, indent=2))
