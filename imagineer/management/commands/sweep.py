import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from imagineer.sweeper import sweep


class Command(BaseCommand):
    help = "Mends what crashes left behind, once; the supervisor of the workers does the same every few seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        counts = asdict(sweep())
        if options["json"]:
            print(json.dumps(counts))
        else:
            print(", ".join(f"{name} {count}" for name, count in counts.items()))
