"""/metrics in Prometheus' text format, version 0.0.4: one pass over a handful of counts."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Min, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from imagineer.api_auth import ApiTokenAuth, Scope
from imagineer.models import Cluster
from imagineer.problems import Problem, problem_response, unauthenticated
from imagineer.runs import RunStatus, run_models

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_authenticate = ApiTokenAuth(Scope.OPERATE)


@dataclass(frozen=True)
class Gauge:
    """`samples` are pairs of labels and a value."""

    name: str
    help: str
    samples: list[tuple[dict[str, str], float]]

    def lines(self) -> Iterator[str]:
        yield f"# HELP imagineer_{self.name} {self.help}"
        yield f"# TYPE imagineer_{self.name} gauge"
        for labels, value in self.samples:
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield (f"imagineer_{self.name}{{{inner}}} {value:.15g}" if inner else f"imagineer_{self.name} {value:.15g}")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For operators, and for tokens of operators that have the scope `operate`."""
    try:
        _check_operator(request)
    except Problem as problem:
        return problem_response(problem)
    text = "".join(f"{line}\n" for gauge in gauges() for line in gauge.lines())
    return HttpResponse(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def gauges() -> Iterable[Gauge]:
    yield _runs()
    yield from _queues()
    yield from _clusters()
    usage = shutil.disk_usage(Path(settings.DATA_DIR))
    yield Gauge("disk_free_bytes", "Free space where the data are.", [({}, usage.free)])
    yield Gauge("disk_total_bytes", "Size of the disk where the data are.", [({}, usage.total)])


def _runs() -> Gauge:
    samples: list[tuple[dict[str, str], float]] = []
    for model in run_models():
        counts = dict(model.objects.order_by().values_list("status").annotate(Count("pk")))
        kind = model._meta.model_name or ""
        samples += [({"kind": kind, "status": status}, counts.get(status, 0)) for status in RunStatus.values]
    return Gauge("runs", "Runs there are, by what they do and how they stand.", samples)


def _queues() -> Iterator[Gauge]:
    depth: list[tuple[dict[str, str], float]] = []
    oldest: list[tuple[dict[str, str], float]] = []
    for queue in settings.QUEUES:
        waiting = [
            model.objects.queued().aggregate(count=Count("pk"), since=Min("created_at")) for model in run_models(queue)
        ]
        since = min((row["since"] for row in waiting if row["since"]), default=None)
        depth.append(({"queue": queue}, sum(row["count"] for row in waiting)))
        oldest.append(({"queue": queue}, (timezone.now() - since).total_seconds() if since else 0.0))
    yield Gauge("queue_depth", "Runs that wait.", depth)
    yield Gauge("queue_oldest_seconds", "How long the oldest of them has waited.", oldest)


def _clusters() -> Iterator[Gauge]:
    alive = dict(Cluster.objects.all().alive().order_by().values_list("queue").annotate(Sum("workers")))
    restarts = dict(Cluster.objects.order_by().values_list("queue").annotate(Sum("restarts")))
    yield Gauge("workers_alive", "Workers that answer.", [({"queue": q}, alive.get(q, 0)) for q in settings.QUEUES])
    samples: list[tuple[dict[str, str], float]] = [({"queue": q}, restarts.get(q, 0)) for q in settings.QUEUES]
    yield Gauge("cluster_restarts", "How often silent or dead clusters were restarted.", samples)


def _check_operator(request: HttpRequest) -> None:
    if not _authenticate(request) and not request.user.is_authenticated:
        raise unauthenticated()
    if not request.user.is_operator:  # type: ignore[union-attr]
        raise PermissionDenied("Only operators may read the metrics.")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
