"""Do the rows and the files agree? The report of CONTRACT 10, and what can be repaired."""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from gallery.models import Image, Lora, PendingFile
from gallery.models.image import RENDITIONS
from gallery.services.intake import sweep_pending
from imagineer.runs import run_models
from imagineer.sweeper import sweep, temporary_folder

STUCK = timedelta(seconds=60)  # after the end of a lease
FRESH_SECONDS = 120  # a temporary file younger than this is still being written


@dataclass
class Report:
    missing: list[str] = field(default_factory=list)
    orphan: list[str] = field(default_factory=list)
    mismatch: list[str] = field(default_factory=list)
    stuck_runs: list[str] = field(default_factory=list)
    temporary_files: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not any(asdict(self).values())


def check_integrity() -> Report:
    """Reads every original once; names are keys in the store, paths below the data folder, or `kind id` of a run."""
    report = Report()
    expected = set(_check_pictures(report)) | set(PendingFile.objects.values_list("key", flat=True))
    report.orphan += sorted(key for key in _stored("originals", "renditions") if key not in expected)
    _check_loras(report)
    report.stuck_runs += _stuck_runs()
    report.temporary_files += _temporary_files()
    return report


def repair(report: Report) -> None:
    """Removes what belongs to nobody and sweeps; missing and altered files can't be made up and stay reported."""
    for key in report.orphan:
        if key.startswith("loras/"):
            (Path(settings.MODELS_DIR) / key).unlink(missing_ok=True)
        else:
            default_storage.delete(key)
    for name in report.temporary_files:
        (Path(settings.DATA_DIR) / name).unlink(missing_ok=True)
    sweep()
    sweep_pending()


def _check_pictures(report: Report) -> Iterator[str]:
    seen = set()
    for image in Image.objects.only("sha256", "format").order_by("sha256").iterator(chunk_size=500):
        if image.original_key in seen:
            continue
        seen.add(image.original_key)
        yield image.original_key
        _check_content(image.original_key, image.sha256, report)
        for size in RENDITIONS:
            key = image.rendition_key(size)
            yield key
            if not default_storage.exists(key):
                report.missing.append(key)


def _check_content(key: str, sha256: str, report: Report) -> None:
    try:
        with default_storage.open(key) as file:
            digest = hashlib.sha256()
            for chunk in file.chunks(1 << 20):
                digest.update(chunk)
    except FileNotFoundError:
        report.missing.append(key)
        return
    if digest.hexdigest() != sha256:
        report.mismatch.append(key)


def _stored(*folders: str) -> Iterator[str]:
    for folder in folders:
        try:
            subfolders, files = default_storage.listdir(folder)
        except FileNotFoundError:
            continue
        yield from (f"{folder}/{name}" for name in files)
        yield from _stored(*(f"{folder}/{name}" for name in subfolders))


def _check_loras(report: Report) -> None:
    folder = Path(settings.MODELS_DIR) / "loras"
    known = set(Lora.objects.values_list("sha256", flat=True))
    there = {path.stem for path in folder.glob("*.safetensors")} if folder.is_dir() else set()
    report.missing += sorted(f"loras/{sha256}.safetensors" for sha256 in known - there)
    report.orphan += sorted(f"loras/{sha256}.safetensors" for sha256 in there - known)


def _stuck_runs() -> list[str]:
    late = timezone.now() - STUCK
    return [
        f"{model._meta.model_name} {pk}"
        for model in run_models()
        for pk in model.objects.abandoned().filter(lease_until__lt=late).values_list("pk", flat=True)
    ]


def _temporary_files() -> list[str]:
    """Left over: drafts beside their targets, and folders of runs that no longer run."""
    running = tuple(
        f"{model._meta.model_name}-{pk}"
        for model in run_models()
        for pk in model.objects.running().values_list("pk", flat=True)
    )
    data = Path(settings.DATA_DIR)
    found = [path for path in temporary_folder().rglob("*") if path.is_file() and not _belongs(path, running)]
    for folder in (data / "media", data / "models", data / "previews"):
        found += [path for path in folder.rglob("*.tmp") if path.is_file()]
    return sorted(os.path.relpath(path, data) for path in found if _is_old(path))


def _belongs(path: Path, running: tuple[str, ...]) -> bool:
    return any(part.startswith(running) for part in path.parts) if running else False


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > FRESH_SECONDS
    except OSError:
        return False
