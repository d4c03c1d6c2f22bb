"""Does a claimed Generation: asks the engine for the pictures that are missing, takes each in as it comes."""

import base64
import binascii
import shutil
import time
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage

from gallery.models import Generation, Image, Rating, Source, Visibility
from gallery.services.compare import compare_with_original
from gallery.services.engine import engine
from gallery.services.intake import enter_picture
from imagineer.children import Message, supervise
from imagineer.models import Cluster
from imagineer.runs import RunFailed
from imagineer.storage import write_durably
from imagineer.sweeper import temporary_folder
from imagineer.tasks import cluster_name

DISK_RESERVE = 32 * 1024 * 1024  # bytes that must be free before a job starts
PROGRESS_SECONDS = 0.4  # between two writes of progress within a stage


def perform_generation(generation: Generation) -> None:
    """Raises RunFailed, RunCancelled or LeaseLost; pictures that were taken in by then stay."""
    _check_disk()
    missing = _missing_indexes(generation)
    folder = temporary_folder() / f"generation-{generation.pk}-{generation.fence}"
    folder.mkdir(exist_ok=True)
    try:
        if missing:
            _make(generation, missing, folder)
        if generation.rerun_of_id:
            generation.advance(verdict=compare_with_original(generation))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        generation.preview_path.unlink(missing_ok=True)


def _make(generation: Generation, missing: list[int], folder: Path) -> None:
    child = engine.child()
    listener = _Listener(generation, folder, finished=generation.count - len(missing))
    request = _engine_request(generation, missing, folder)
    result = supervise(generation, child, request, listener.hear, silence=settings.ENGINE_SILENCE_SECONDS)
    engine.done(result)
    Cluster.objects.filter(name=cluster_name()).update(
        loaded=engine.loaded, device=str(result.get("environment", {}).get("device", ""))[:100]
    )
    left = _missing_indexes(generation)
    if left:
        raise RunFailed(f"The engine ended without {len(left)} of {generation.count} pictures.")
    generation.advance(seconds=result.get("seconds"), environment=result.get("environment", {}), done=generation.total)


class _Listener:
    """Turns the engine's messages into progress, previews and pictures."""

    def __init__(self, generation: Generation, folder: Path, *, finished: int) -> None:
        self.generation = generation
        self.folder = folder
        self.offset = finished * generation.steps
        self.written = 0.0
        self.stage = ""

    def hear(self, message: Message) -> None:
        if message["type"] == "progress":
            self._progress(message)
        elif message["type"] == "artifact":
            self._artifact(message)

    def _progress(self, message: Message) -> None:
        if preview := message.get("preview"):
            self._keep_preview(preview)
        stage, now = str(message.get("stage", ""))[:40], time.monotonic()
        if stage == self.stage and now - self.written < PROGRESS_SECONDS:
            return
        self.stage, self.written = stage, now
        done = min(self.offset + int(message.get("done", 0)), self.generation.total)
        self.generation.advance(stage=stage, done=done, message=str(message.get("message", "")))

    def _artifact(self, message: Message) -> None:
        path = Path(message["path"]).resolve()
        if path.parent != self.folder.resolve():
            raise RunFailed("The engine wrote a picture where it should not.")
        store_picture(self.generation, int(message["index"]), path)
        path.unlink(missing_ok=True)

    def _keep_preview(self, preview: str) -> None:
        try:
            data = base64.b64decode(preview, validate=True)
        except (binascii.Error, ValueError):
            return
        path = self.generation.preview_path
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_bytes(data)
        draft.replace(path)


def store_picture(generation: Generation, index: int, path: Path) -> Image:
    """Takes one finished picture in, unless this worker has lost the run meanwhile."""
    published = generation.visibility != Visibility.PRIVATE
    return enter_picture(
        path,
        guard=generation.renew_in_transaction,
        owner_id=generation.created_by_id,
        source=Source.GENERATED,
        generation=generation,
        index=index,
        seed=(generation.seed + index) % 2**32,
        visibility=generation.visibility,
        # Publishing is the owner's word that it is safe: docs/adr/0003.
        rating=Rating.SAFE if published else Rating.UNRATED,
        rating_source="owner" if published else "",
        alt=generation.prompt[:500],
    )


def _missing_indexes(generation: Generation) -> list[int]:
    there = set(Image.objects.filter(generation=generation).values_list("index", flat=True))
    return [index for index in range(generation.count) if index not in there]


def _engine_request(generation: Generation, missing: list[int], folder: Path) -> Message:
    model = generation.model
    return {
        "op": "generate",
        "job": f"{generation.pk}-{generation.fence}",
        "model": {
            "slug": model.slug,
            "location": model.location,
            "revision": model.revision or None,
            "family": model.family,
            "prediction_type": model.prediction_type or None,
            "sha256": model.sha256 or None,
        },
        **{
            name: getattr(generation, name)
            for name in (
                "prompt",
                "negative_prompt",
                "width",
                "height",
                "steps",
                "guidance",
                "sampler",
                "seed",
            )
        },
        "count": generation.count,
        "indexes": missing,
        "loras": [
            {
                "name": use.lora.slug,
                "path": str(use.lora.path),
                "weight": use.weight,
                "sha256": use.lora.sha256,
            }
            for use in generation.lora_uses
        ],
        "init_image": _init_image(generation, folder),
        "strength": generation.strength if generation.strength is not None else 1.0,
        "upscale": generation.upscale,
        "out_dir": str(folder),
        "metadata": {"generation": str(generation.pk)},
    }


def _init_image(generation: Generation, folder: Path) -> str | None:
    """A copy for the engine, which knows no storage."""
    if generation.strength is None:
        return None
    if generation.init_image is None:
        raise RunFailed("The picture to start from has been deleted.")
    target = folder / "init"
    with default_storage.open(generation.init_image.original_key) as source:
        write_durably(target, source.chunks())
    return str(target)


def _check_disk() -> None:
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < DISK_RESERVE:
        raise RunFailed(f"The disk is full ({free // 2**20} MB left); free some space, then try again.")
