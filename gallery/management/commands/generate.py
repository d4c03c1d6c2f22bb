import json
import shutil
import signal
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from tqdm import tqdm

from gallery.models import Generation, Image
from gallery.services.engine import engine
from gallery.services.registry import ensure_starter
from gallery.services.requests import GenerationRequest, LoraChoice, create_claimed_generation
from imagineer.errors import Invalid
from imagineer.models import User
from imagineer.runs import RunStatus
from imagineer.tasks import perform, worker_name

LOOK_SECONDS = 0.3


class Command(BaseCommand):
    help = "Makes pictures without the web site: the same engine, the same metadata. Prints the files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prompt")
        parser.add_argument("--negative", default=None, help="what the pictures should not show")
        parser.add_argument("--model", default=None, help="slug, see `models list`")
        parser.add_argument("--lora", action="append", default=[], metavar="NAME[:WEIGHT]", help="repeatable")
        parser.add_argument("--width", type=int)
        parser.add_argument("--height", type=int)
        parser.add_argument("--steps", type=int)
        parser.add_argument("--guidance", type=float)
        parser.add_argument("--sampler")
        parser.add_argument("--seed", type=int)
        parser.add_argument("--count", type=int)
        parser.add_argument("--upscale", type=int)
        parser.add_argument("--init-image", help="id of a picture to start from")
        parser.add_argument("--strength", type=float)
        parser.add_argument("--out", type=Path, help="a folder to copy the pictures to")
        parser.add_argument("--owner", help="e-mail of the account that will own them (the first administrator)")
        parser.add_argument("--json", action="store_true", help="print a JSON object with files and seeds")

    def handle(self, *args: Any, **options: Any) -> None:
        _make_ready()
        try:
            generation = create_claimed_generation(_owner(options["owner"]), _request(options), worker_name())
        except Invalid as refusal:
            raise CommandError("\n".join(f"{error.field}: {error.message}" for error in refusal.errors)) from refusal
        _perform(generation, show=sys.stderr.isatty())
        generation.refresh_from_db()
        if generation.status != RunStatus.SUCCEEDED:
            raise CommandError(generation.error or f"The generation was {generation.status}.")
        _print(generation, options["out"], as_json=options["json"])


def _make_ready() -> None:
    """On a machine where nothing has run yet, the embedded database is made first."""
    if connection.vendor == "sqlite":
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", verbosity=0)
    ensure_starter()


def _owner(email: str | None) -> User | None:
    if email is None:
        return User.objects.filter(is_superuser=True).order_by("pk").first()
    try:
        return User.objects.get_by_natural_key(email)
    except User.DoesNotExist as error:
        raise CommandError(f"There is no account {email}.") from error


def _request(options: dict[str, Any]) -> GenerationRequest:
    same = (
        "prompt",
        "model",
        "width",
        "height",
        "steps",
        "guidance",
        "sampler",
        "seed",
        "count",
        "upscale",
        "strength",
    )
    return GenerationRequest(
        **{name: options[name] for name in same},
        negative_prompt=options["negative"],
        init_image=options["init_image"],
        loras=[_lora(text) for text in options["lora"]],
    )


def _lora(text: str) -> LoraChoice:
    name, colon, weight = text.rpartition(":")
    if not colon:
        return LoraChoice(text)
    try:
        return LoraChoice(name, float(weight))
    except ValueError as error:
        raise CommandError(f"--lora {text}: the weight after the colon must be a number.") from error


def _perform(generation: Generation, *, show: bool) -> None:
    """Ctrl-C and SIGTERM cancel the generation, so that nothing is left running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(generation.pk, over), daemon=True)
    if show:
        watcher.start()
    try:
        perform(generation)
    except KeyboardInterrupt:
        generation.finish_cancelled()
        raise CommandError("Cancelled.", returncode=130) from None
    finally:
        over.set()
        if show:
            watcher.join()
        engine.end()


def _watch(pk: Any, over: threading.Event) -> None:
    with tqdm(total=1, unit="step", leave=False, file=sys.stderr) as bar:
        while not over.wait(LOOK_SECONDS):
            now = Generation.objects.only("stage", "message", "done", "total").get(pk=pk)
            bar.total, bar.n = max(now.total, 1), now.done
            bar.set_description_str(now.message or now.stage)
    connection.close()


def _print(generation: Generation, out: Path | None, *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for image in Image.objects.filter(generation=generation).order_by("index"):
        path = Path(default_storage.path(image.original_key)) if out is None else _copy(image, out)
        rows.append({"id": str(image.pk), "file": str(path), "seed": image.seed, "sha256": image.sha256})
    if as_json:
        print(json.dumps({"generation": str(generation.pk), "seconds": generation.seconds, "images": rows}))
    else:
        print("\n".join(row["file"] for row in rows))


def _copy(image: Image, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{image.generation_id}-{image.index:02d}.{image.format}"
    with default_storage.open(image.original_key) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    return target
