"""Who is next: start-time fair queueing over users, measured in seconds of work.

Each user has a virtual time per queue that advances by the seconds they use; the user who is least far goes next. One
who comes back after a pause starts at the queue's clock (the start tag of the run served last), so that nobody saves
up credit by waiting, and nobody waits for another's whole batch. P. Goyal, H. Vin, H. Cheng: Start-time Fair Queuing,
SIGCOMM 1996. A run is charged its estimate when it is claimed and corrected to the seconds it took when it ends.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Max, Min
from django.utils import timezone

from imagineer.database import insist
from imagineer.models import Cluster, FairShare
from imagineer.runs import Run, performer_of, run_models

LOOK_AHEAD = 32  # how many of one user's runs may be passed over for one whose model is loaded
FORECAST_LIMIT = 2000  # runs in front of which a position is computed

Preference = Callable[[Any], bool]


def join(run: Run) -> None:
    """To be called before a run is queued: lifts a user who had nothing in the queue to the queue's clock."""
    key = user_key(run)
    if any(model.objects.active().filter(created_by=run.created_by_id).exists() for model in run_models(run.queue)):
        return
    share, _ = FairShare.objects.get_or_create(queue=run.queue, user_key=key)
    clock = _clock(run.queue)
    FairShare.objects.filter(pk=share.pk, finish_tag__lt=clock).update(finish_tag=clock)


def claim_next(queue: str, owner: str, prefer: Preference | None = None) -> Any | None:
    """Claims the run whose turn it is, or None when nothing is queued."""
    while True:
        candidate, won = insist(lambda: _try_next(queue, owner, prefer))
        if won or candidate is None:
            return candidate


def settle(run: Run) -> None:
    """Corrects the charge of an ended attempt to the seconds it really took."""
    if run.started_at is None:
        return
    used = ((run.finished_at or timezone.now()) - run.started_at).total_seconds()
    share = FairShare.objects.filter(queue=run.queue, user_key=user_key(run))
    correction = round(used - run.charged, 3)
    insist(lambda: share.update(finish_tag=F("finish_tag") + correction))


def user_key(run: Run) -> int:
    return run.created_by_id or 0


def _try_next(queue: str, owner: str, prefer: Preference | None) -> tuple[Any | None, bool]:
    with transaction.atomic():
        candidate = _candidate(queue, prefer)
        if candidate is None:
            return None, False
        won = candidate.claim(owner)
        if won:
            _charge(candidate)
        return candidate, won


def _candidate(queue: str, prefer: Preference | None) -> Any | None:
    oldest: dict[int, Any] = {}
    for model in run_models(queue):
        waiting = model.objects.queued().filter(attempt__lt=F("max_attempts"))
        for user_id, created_at in waiting.values_list("created_by").annotate(Min("created_at")).order_by():
            oldest[user_id or 0] = min(created_at, oldest.get(user_id or 0, created_at))
    if not oldest:
        return None
    tags = _finish_tags(queue)
    user_id = min(oldest, key=lambda key: (tags[key], oldest[key]))
    return _of_user(queue, user_id or None, prefer)


def _of_user(queue: str, user_id: int | None, prefer: Preference | None) -> Any | None:
    """The user's first run; among equals of its priority one that `prefer` likes, if it is not far behind."""
    rows: list[Any] = []
    for model in run_models(queue):
        waiting = model.objects.queued().filter(created_by=user_id, attempt__lt=F("max_attempts"))
        rows += waiting.order_by("-priority", "created_at")[:LOOK_AHEAD]
    rows.sort(key=lambda run: (-run.priority, run.created_at))
    if not rows:
        return None
    equals = [run for run in rows[:LOOK_AHEAD] if run.priority == rows[0].priority]
    return next((run for run in equals if prefer and prefer(run)), rows[0])


def _charge(run: Run) -> None:
    estimate = performer_of(type(run)).learn_estimator()(run)
    start = max(_finish_tags(run.queue)[user_key(run)], 0.0)
    FairShare.objects.update_or_create(
        queue=run.queue, user_key=user_key(run), defaults={"start_tag": start, "finish_tag": start + estimate}
    )
    run.advance(charged=estimate)


def _clock(queue: str) -> float:
    return FairShare.objects.filter(queue=queue).aggregate(clock=Max("start_tag"))["clock"] or 0.0


def _finish_tags(queue: str) -> defaultdict[int, float]:
    return defaultdict(float, FairShare.objects.filter(queue=queue).values_list("user_key", "finish_tag"))


# What to tell those who wait ----------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """`position` 1 is next, None is running already; `seconds` until it ends."""

    position: int | None
    seconds: float


def forecast(queue: str) -> dict[UUID, Outlook]:
    """The order and end of every active run, by playing the queue through with the estimates of past runs.

    The cost is that of the queue's length (at most FORECAST_LIMIT), so call it once a request.
    """
    estimates = {model: performer_of(model).learn_estimator() for model in run_models(queue)}
    outlooks: dict[UUID, Outlook] = {}
    free_at: list[float] = []
    for run in _rows(queue, "running"):
        remaining = _remaining(run, estimates[type(run)](run))
        outlooks[run.pk] = Outlook(None, remaining)
        free_at.append(remaining)
    workers = sum(Cluster.objects.filter(queue=queue).alive().values_list("workers", flat=True)) or 1
    free_at = sorted(free_at)[:workers] + [0.0] * (workers - len(free_at))
    heapq.heapify(free_at)
    order = _play(_rows(queue, "queued"), _finish_tags(queue), estimates)
    for position, (run, estimate) in enumerate(order, 1):
        end = heapq.heappop(free_at) + estimate
        heapq.heappush(free_at, end)
        outlooks[run.pk] = Outlook(position, end)
    return outlooks


def _rows(queue: str, status: str) -> list[Any]:
    rows = [
        run
        for model in run_models(queue)
        for run in model.objects.filter(status=status).order_by("created_at")[:FORECAST_LIMIT]
    ]
    return sorted(rows, key=lambda run: (-run.priority, run.created_at))


def _play(
    rows: Iterable[Any], tags: defaultdict[int, float], estimates: dict[type[Run], Callable[[Any], float]]
) -> Iterable[tuple[Any, float]]:
    lines: dict[int, deque[Any]] = defaultdict(deque)
    for run in rows:
        lines[user_key(run)].append(run)
    heap = [(tags[key], line[0].created_at, key) for key, line in lines.items()]
    heapq.heapify(heap)
    while heap:
        tag, _, key = heapq.heappop(heap)
        run = lines[key].popleft()
        estimate = estimates[type(run)](run)
        yield run, estimate
        if lines[key]:
            heapq.heappush(heap, (tag + estimate, lines[key][0].created_at, key))


def _remaining(run: Run, estimate: float) -> float:
    """From the share of the work that is done once that says more than the estimate."""
    elapsed = (timezone.now() - run.started_at).total_seconds() if run.started_at else 0.0
    if run.fraction > 0.2:
        return elapsed * (1 - run.fraction) / run.fraction
    return max(estimate - elapsed, 1.0)
