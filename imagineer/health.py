"""Is it up, is it working: for load balancers, monitors and people."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from imagineer.models import Cluster, MaintenanceRecord
from imagineer.runs import run_models

DISK_RESERVE = 64 * 1024 * 1024
WAITING_PATIENCE = timedelta(minutes=5)


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Database, storage and cache answer."""
    return _report({"database": _database, "storage": _storage, "cache": _cache})


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Besides, the queues move and the sweeper is on time."""
    return _report({"database": _database, "clusters": _clusters, "sweeper": _sweeper, "disk": _disk})


def _report(probes: dict[str, Callable[[], str]]) -> JsonResponse:
    problems = {name: problem for name, probe in probes.items() if (problem := _ask(probe))}
    status = 503 if problems else 200
    return JsonResponse({"status": "unavailable" if problems else "ok", "problems": problems}, status=status)


def _ask(probe: Callable[[], str]) -> str:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return f"{type(error).__name__}: no answer"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _storage() -> str:
    name = default_storage.save("health/probe.txt", ContentFile(b"probe"))
    return "" if default_storage.exists(name) else "what was written is not there"


def _cache() -> str:
    cache.set("health", "probe", 10)
    return "" if cache.get("health") == "probe" else "what was set is not there"


def _clusters() -> str:
    alive = set(Cluster.objects.all().alive().values_list("queue", flat=True))
    missing = sorted(set(settings.QUEUES) - alive)
    if missing:
        return f"no live cluster for: {', '.join(missing)}"
    late = timezone.now() - WAITING_PATIENCE
    for model in run_models():
        stuck = model.objects.abandoned().filter(lease_until__lt=late)
        if stuck.exists():
            return f"a {model._meta.verbose_name} has had no live worker for five minutes"
    return ""


def _sweeper() -> str:
    record = MaintenanceRecord.objects.filter(name="sweep").first()
    patience = timedelta(seconds=settings.SWEEP_SECONDS * 3 + 30)
    if record is None or record.last_run_at < timezone.now() - patience:
        return "the sweeper has not run in time"
    return ""


def _disk() -> str:
    free = shutil.disk_usage(Path(settings.DATA_DIR)).free
    return "" if free > DISK_RESERVE else f"{free // 1024 // 1024} MB left"
