import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery.models import Lora
from gallery.services.registry import register_lora
from imagineer.errors import Invalid


class Command(BaseCommand):
    help = "The registry of LoRAs: add safetensors files, list them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="check files and copy them into the store")
        add.add_argument("files", nargs="+", type=Path)
        listing = actions.add_parser("list", help="list the LoRAs")
        listing.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "add":
            self._add(options["files"])
        else:
            self._list(as_json=options["json"])

    def _add(self, files: list[Path]) -> None:
        refused = 0
        for path in files:
            try:
                lora = register_lora(path)
                print(f"{lora.slug}: {lora.get_family_display()}, rank {lora.rank}, alpha {lora.alpha}")
            except Invalid as refusal:
                refused += 1
                self.stderr.write("\n".join(f"{path.name}: {error.message}" for error in refusal.errors))
        if refused:
            raise CommandError(f"{refused} of {len(files)} files were refused.")

    def _list(self, *, as_json: bool) -> None:
        rows = [
            {
                "slug": lora.slug,
                "name": lora.name,
                "family": lora.family,
                "rank": lora.rank,
                "alpha": lora.alpha,
                "trigger_words": lora.trigger_words,
                "available": lora.usable,
                "reason": lora.reason,
                "sha256": lora.sha256,
            }
            for lora in Lora.objects.all()
        ]
        if as_json:
            print(json.dumps(rows))
            return
        for row in rows:
            words = ", ".join(row["trigger_words"])
            print(f"{row['slug']:30} {row['family']:8} rank {row['rank']}  {words}  {row['reason']}")
