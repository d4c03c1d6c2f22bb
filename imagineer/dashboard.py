"""What an operator wants to know first: is work waiting, is somebody doing it, is there room, what went wrong."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.db.models import Count, Min
from django.urls import reverse
from django.utils import timezone

from imagineer.health import DISK_RESERVE
from imagineer.models import Cluster
from imagineer.runs import Run, RunStatus, run_models

SHOWN = 8
TIGHT = 0.1  # share of the disk that is free below which it is shown as tight


@dataclass(frozen=True)
class Disk:
    free: int
    total: int

    @property
    def used(self) -> int:
        return self.total - self.free

    @property
    def is_tight(self) -> bool:
        return self.free < max(DISK_RESERVE, self.total * TIGHT)


@dataclass(frozen=True)
class RunLine:
    """A run as a row; the addresses are empty where the console has no page for its kind."""

    run: Run
    kind: str
    address: str
    retry: str


@dataclass(frozen=True)
class Board:
    queued: int
    oldest: datetime | None
    clusters: list[Cluster]
    silent: list[Cluster]
    disk: Disk
    failed_today: int
    succeeded_today: int
    running: list[RunLine]
    failures: list[RunLine]


def look(site: AdminSite) -> Board:
    """Queries per kind of run, never per row."""
    waiting = [_waiting(model) for model in run_models()]
    ended = [_ended_today(model) for model in run_models()]
    alive = {cluster.pk for cluster in Cluster.objects.all().alive()}
    clusters = list(Cluster.objects.all())
    usage = shutil.disk_usage(Path(settings.DATA_DIR))
    return Board(
        queued=sum(row["count"] for row in waiting),
        oldest=min((row["oldest"] for row in waiting if row["oldest"]), default=None),
        clusters=[cluster for cluster in clusters if cluster.pk in alive],
        silent=[cluster for cluster in clusters if cluster.pk not in alive],
        disk=Disk(usage.free, usage.total),
        failed_today=sum(counts.get(RunStatus.FAILED, 0) for counts in ended),
        succeeded_today=sum(counts.get(RunStatus.SUCCEEDED, 0) for counts in ended),
        running=_lines(site, RunStatus.RUNNING, "started_at"),
        failures=_lines(site, RunStatus.FAILED, "-finished_at"),
    )


def _waiting(model: type[Run]) -> dict[str, Any]:
    found: dict[str, Any] = model.objects.queued().aggregate(count=Count("pk"), oldest=Min("created_at"))
    return found


def _ended_today(model: type[Run]) -> dict[str, int]:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    ended = model.objects.filter(finished_at__gte=today).order_by()
    return dict(ended.values_list("status").annotate(Count("pk")))


def _lines(site: AdminSite, status: RunStatus, order: str) -> list[RunLine]:
    runs = [
        run
        for model in run_models()
        for run in model.objects.filter(status=status).select_related("created_by").order_by(order)[:SHOWN]
    ]
    field = order.lstrip("-")
    runs.sort(key=lambda run: getattr(run, field) or run.created_at, reverse=order.startswith("-"))
    return [_line(site, run) for run in runs[:SHOWN]]


def _line(site: AdminSite, run: Run) -> RunLine:
    kind = str(run._meta.verbose_name)
    if not site.is_registered(type(run)):
        return RunLine(run, kind, "", "")
    name = f"{site.name}:{run._meta.app_label}_{run._meta.model_name}"
    return RunLine(run, kind, reverse(f"{name}_change", args=[run.pk]), reverse(f"{name}_retry", args=[run.pk]))
