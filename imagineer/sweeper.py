"""Mends what crashes leave behind: the only retry there is.

Runs in every supervisor, so that a frozen cluster can't keep it from running; each step is safe to repeat and to run
on several machines at once.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from imagineer import fairness, queue
from imagineer.models import Cluster, IdempotencyKey, MaintenanceRecord
from imagineer.runs import Run, RunStatus, run_models

TEMPORARY_SECONDS = 3600  # a temporary file older than this belongs to nobody
RING_PATIENCE = timedelta(seconds=5)  # how long a fresh run's own message may take

Broom = Callable[[], int]
_brooms: list[Broom] = []


@dataclass
class Swept:
    requeued: int = 0
    failed: int = 0
    cancelled: int = 0
    rung: int = 0
    files: int = 0


def register_broom(broom: Broom) -> None:
    """An app's own cleaning, called with each sweep; it returns how many files it removed."""
    _brooms.append(broom)


def sweep() -> Swept:
    swept = Swept()
    for model in run_models():
        for run in model.objects.abandoned():
            _recover(run, swept)
    for name in settings.QUEUES:
        swept.rung += _ring_again(name)
    swept.files = sum(broom() for broom in _brooms) + remove_old_files(temporary_folder())
    IdempotencyKey.objects.filter(created_at__lt=timezone.now() - timedelta(days=1)).delete()
    MaintenanceRecord.note("sweep", **asdict(swept))
    return swept


def temporary_folder() -> Path:
    """Where children write before their results are taken in; on the same file system as the data."""
    folder = Path(settings.DATA_DIR) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_old_files(folder: Path, seconds: float = TEMPORARY_SECONDS) -> int:
    old = [path for path in sorted(folder.rglob("*"), reverse=True) if _age(path) > seconds]
    removed = 0
    for path in old:
        with suppress(OSError):  # somebody else was quicker, or a folder isn't empty
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
                removed += 1
    return removed


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0


def _recover(run: Run, swept: Swept) -> None:
    with transaction.atomic():
        outcome = run.recover()
        if outcome == RunStatus.QUEUED:
            queue.ring(run)
    fairness.settle(run)
    swept.requeued += outcome == RunStatus.QUEUED
    swept.failed += outcome == RunStatus.FAILED
    swept.cancelled += outcome == RunStatus.CANCELLED


def _ring_again(name: str) -> int:
    """As many rings as there are queued runs without one: messages that were fetched may be lost with their worker.

    A canary lies in the same queue and is no doorbell. One that was fetched and not yet answered is taken off all the
    same: then a run is rung for once too often, which harms nothing.
    """
    settled = timezone.now() - RING_PATIENCE
    queued = sum(model.objects.queued().filter(created_at__lt=settled).count() for model in run_models(name))
    if not queued:
        return 0
    canaries = Cluster.objects.filter(queue=name).unanswered().count()
    missing = max(0, queued - max(0, queue.waiting(name) - canaries))
    queue.ring_queue(name, missing)
    return missing
