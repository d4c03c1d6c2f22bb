import json
import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.text import slugify
from tqdm import tqdm

from gallery.models import DiffusionModel
from gallery.services.hub import download_model
from gallery.services.registry import check_model, register_model
from imagineer.errors import Invalid

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+\Z")


class Command(BaseCommand):
    help = "The registry of diffusion models: add one from a folder, a safetensors file or a hub id; list; check."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="add a model; a download that broke off goes on where it was")
        add.add_argument("location", help="a diffusers folder, a .safetensors file, or an id such as owner/name")
        add.add_argument("--slug")
        add.add_argument("--name")
        add.add_argument("--revision", help="branch, tag or commit on the hub")
        add.add_argument("--default", action="store_true", help="make it the default model")
        listing = actions.add_parser("list", help="list the models")
        listing.add_argument("--json", action="store_true")
        check = actions.add_parser("check", help="look at every model's files again; exit code 1 when one is unusable")
        check.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _add(self, options: dict[str, Any]) -> None:
        try:
            model = _add_from(options)
        except Invalid as refusal:
            raise CommandError("\n".join(error.message for error in refusal.errors)) from refusal
        if options["default"]:
            model.make_default()
        print(f"{model.slug}: {model.get_family_display()}, {model.width}×{model.height}, {model.bytes / 1e6:.0f} MB")

    def _list(self, options: dict[str, Any]) -> None:
        models = list(DiffusionModel.objects.all())
        if options["json"]:
            print(json.dumps([_row(model) for model in models]))
            return
        for model in models:
            star = "*" if model.is_default else " "
            where = model.reason or model.location
            print(f"{star} {model.slug:30} {model.family:8} {model.width}×{model.height}  {where}")

    def _check(self, options: dict[str, Any]) -> None:
        models = list(DiffusionModel.objects.all())
        for model in models:
            check_model(model)
        if options["json"]:
            print(json.dumps([_row(model) for model in models]))
        else:
            for model in models:
                print(f"{model.slug}: {model.reason or 'ok'}")
        if any(model.reason for model in models):
            sys.exit(1)


def _add_from(options: dict[str, Any]) -> DiffusionModel:
    location = options["location"]
    path = Path(location).expanduser()
    if path.exists():
        with tqdm(total=1, unit="B", unit_scale=True, disable=None, desc="hashing") as bar:
            return register_model(
                path,
                slug=options["slug"],
                name=options["name"],
                progress=lambda done, total: _show(bar, done, total),
            )
    if not _HUB_ID.match(location):
        raise CommandError(f"{location}: there is no such folder or file, and a hub id looks like owner/name.")
    slug = slugify(options["slug"] or location.partition("/")[2])
    target = Path(settings.MODELS_DIR) / "hub" / slug
    fetched = download_model(location, target, revision=options["revision"])
    return register_model(
        target,
        slug=slug,
        name=options["name"] or location.partition("/")[2],
        hub_id=location,
        revision=fetched.revision,
        licence=fetched.licence[:200],
    )


def _show(bar: Any, done: int, total: int) -> None:
    bar.total, bar.n = total, done
    bar.refresh()


def _row(model: DiffusionModel) -> dict[str, Any]:
    return {
        "slug": model.slug,
        "name": model.name,
        "family": model.family,
        "default": model.is_default,
        "available": model.available,
        "reason": model.reason,
        "location": model.location,
        "sha256": model.sha256,
    }
