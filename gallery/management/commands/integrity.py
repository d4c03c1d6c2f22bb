import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from gallery.services.integrity import check_integrity, repair
from imagineer.models import MaintenanceRecord


class Command(BaseCommand):
    help = "Compares rows and files. Exit code 0 only when nothing is missing, orphaned, altered, stuck or left over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--repair", action="store_true", help="remove what belongs to nobody, then look again")

    def handle(self, *args: Any, **options: Any) -> None:
        report = check_integrity()
        if options["repair"] and not report.is_clean:
            repair(report)
            report = check_integrity()
        found = asdict(report)
        MaintenanceRecord.note(
            "integrity", succeeded=report.is_clean, **{name: len(items) for name, items in found.items()}
        )
        if options["json"]:
            print(json.dumps(found))
        else:
            for name, items in found.items():
                print(f"{name.replace('_', ' ')}: {len(items)}")
                print("".join(f"  {item}\n" for item in items[:50]), end="")
        if not report.is_clean:
            sys.exit(1)
