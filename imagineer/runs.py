"""The one pattern for long work: a row whose state is the truth, changed only by the verbs below.

A subclass (Generation, …) adds its parameters and names its `queue`; `@performer(Subclass)` in the app's tasks.py
says what doing it means. The queue's message is only a doorbell (imagineer/queue.py), a worker claims the row before
it starts (imagineer/tasks.py), and the sweeper mends what a crash left behind (imagineer/sweeper.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from imagineer.database import insist
from imagineer.ids import uuid7


class RunFailed(Exception):
    """An expected failure; its text is one sentence for the person who started the run."""


class RunCancelled(Exception):
    """Somebody asked for the run's end while it ran."""


class LeaseLost(Exception):
    """Another worker, or the sweeper, has taken the run; this one must not write any more."""


class RunStatus(models.TextChoices):
    """
    queued -> running -> succeeded | failed | cancelled
    queued -> cancelled
    running -> queued    (the lease ended and attempts remain, or the worker was stopped in good order)
    failed -> queued     (an operator's retry)
    """

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"

    @classmethod
    def active(cls) -> tuple[str, ...]:
        return (cls.QUEUED.value, cls.RUNNING.value)

    @classmethod
    def terminal(cls) -> tuple[str, ...]:
        return (cls.SUCCEEDED.value, cls.FAILED.value, cls.CANCELLED.value)


class RunQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: Any) -> Self:
        """One's own; operators see all."""
        if getattr(user, "is_operator", False):
            return self
        return self.filter(created_by=user) if user.is_authenticated else self.none()

    def queued(self) -> Self:
        return self.filter(status=RunStatus.QUEUED)

    def running(self) -> Self:
        return self.filter(status=RunStatus.RUNNING)

    def active(self) -> Self:
        return self.filter(status__in=RunStatus.active())

    def abandoned(self) -> Self:
        """Running, but nobody has renewed the lease in time."""
        return self.running().filter(lease_until__lt=timezone.now())


class Run(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.QUEUED, editable=False)
    stage = models.CharField(max_length=40, blank=True, editable=False)
    message = models.CharField(max_length=300, blank=True, editable=False)
    done = models.PositiveIntegerField(default=0, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False)
    attempt = models.PositiveSmallIntegerField(default=0, editable=False)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    lease_owner = models.CharField(max_length=200, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    fence = models.PositiveIntegerField(default=0, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    error = models.TextField(blank=True, editable=False)
    traceback = models.TextField(blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)
    priority = models.SmallIntegerField(default=0, help_text="Higher goes first among one user's runs.")
    charged = models.FloatField(default=0, editable=False, help_text="seconds charged to the user's share")

    objects: ClassVar[Any] = RunQuerySet.as_manager()
    queue: ClassVar[str] = "default"

    class Meta:
        abstract = True
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["status", "created_by", "-priority", "created_at"], name="%(class)s_queue"),
            models.Index(fields=["created_by", "-created_at", "-id"], name="%(class)s_owner"),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def is_terminal(self) -> bool:
        return self.status in RunStatus.terminal()

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0..1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    # Verbs of the worker that holds the lease ------------------------------------------

    def claim(self, owner: str) -> bool:
        """Takes the run before any work on it: counts the attempt, raises the fence, starts the lease."""
        now = timezone.now()
        won = self._change(
            Q(status=RunStatus.QUEUED, attempt__lt=F("max_attempts")),
            status=RunStatus.RUNNING,
            attempt=F("attempt") + 1,
            fence=F("fence") + 1,
            lease_owner=owner,
            lease_until=_lease_end(),
            started_at=now,
            stage="starting",
            message="",
            done=0,
            error="",
            traceback="",
        )
        if won:
            self.refresh_from_db()
        return won

    def renew(self) -> None:
        """Prolongs the lease; raises LeaseLost or RunCancelled when there is no reason to go on."""
        if not insist(lambda: self._held().update(lease_until=_lease_end())):
            raise LeaseLost(f"{self} is no longer this worker's")
        if self._held().filter(cancel_requested_at__isnull=False).exists():
            raise RunCancelled

    def renew_in_transaction(self) -> None:
        """For the transaction that writes a result: holds the row until it commits; raises LeaseLost."""
        if not self._held().update(lease_until=_lease_end()):
            raise LeaseLost(f"{self} is no longer this worker's")

    def advance(self, **fields: Any) -> None:
        """Writes progress (stage, message, done, total, …) and prolongs the lease."""
        if "message" in fields:
            fields["message"] = fields["message"][:300]
        if not self._change(self._lease_filter(), lease_until=_lease_end(), **fields):
            raise LeaseLost(f"{self} is no longer this worker's")

    def succeed(self, **fields: Any) -> bool:
        return self._end(RunStatus.SUCCEEDED, error="", **fields)

    def fail(self, error: str, *, traceback: str = "", **fields: Any) -> bool:
        return self._end(RunStatus.FAILED, error=error[:2000], traceback=traceback[-20_000:], **fields)

    def finish_cancelled(self) -> bool:
        return self._end(RunStatus.CANCELLED)

    # Verbs of everybody else -----------------------------------------------------------

    def request_cancel(self) -> bool:
        """True when the run is cancelled or will be; False when it had already ended otherwise."""
        now = timezone.now()
        if self._change(Q(status=RunStatus.QUEUED), status=RunStatus.CANCELLED, finished_at=now, stage=""):
            return True
        if self._change(Q(status=RunStatus.RUNNING, cancel_requested_at=None), cancel_requested_at=now):
            return True
        self.refresh_from_db()
        return self.status == RunStatus.CANCELLED or (
            self.status == RunStatus.RUNNING and self.cancel_requested_at is not None
        )

    def retry(self) -> bool:
        """An operator's second chance for a failed run: all its attempts anew."""
        return self._change(
            Q(status=RunStatus.FAILED),
            status=RunStatus.QUEUED,
            attempt=0,
            error="",
            traceback="",
            cancel_requested_at=None,
            finished_at=None,
            done=0,
            stage="",
            message="",
        )

    def release(self) -> bool:
        """Gives the run back unharmed when its worker was stopped in good order: the attempt doesn't count."""
        return self._change(
            self._lease_filter(),
            status=RunStatus.QUEUED,
            attempt=F("attempt") - 1,
            lease_until=None,
            stage="",
        )

    def recover(self) -> str:
        """The sweeper's verb for an abandoned run: cancelled, queued or failed. Empty when somebody was first."""
        lost = self._lease_filter() & Q(lease_until__lt=timezone.now())
        now = timezone.now()
        if self._change(
            lost & Q(cancel_requested_at__isnull=False), status=RunStatus.CANCELLED, finished_at=now, stage=""
        ):
            return RunStatus.CANCELLED
        again = lost & Q(attempt__lt=F("max_attempts"))
        if self._change(again, status=RunStatus.QUEUED, lease_until=None, stage="", message="Its worker died."):
            return RunStatus.QUEUED
        sentence = f"The worker died in each of {self.attempt} attempts; its log tells more."
        if self._change(lost, status=RunStatus.FAILED, finished_at=now, error=sentence, stage=""):
            return RunStatus.FAILED
        return ""

    # How they write --------------------------------------------------------------------

    def _lease_filter(self) -> Q:
        return Q(status=RunStatus.RUNNING, fence=self.fence)

    def _held(self) -> models.QuerySet[Any]:
        return type(self).objects.filter(self._lease_filter(), pk=self.pk)

    def _end(self, status: RunStatus, **fields: Any) -> bool:
        return self._change(
            self._lease_filter(),
            status=status,
            finished_at=timezone.now(),
            lease_until=None,
            stage="",
            **fields,
        )

    def _change(self, condition: Q, **fields: Any) -> bool:
        """One conditional UPDATE; the instance follows when it won."""
        won = insist(lambda: type(self).objects.filter(condition, pk=self.pk).update(**fields))
        if won:
            for name, value in fields.items():
                if not hasattr(value, "resolve_expression"):
                    setattr(self, name, value)
        return bool(won)


def _lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)


# What doing a run means ---------------------------------------------------------------


@dataclass(frozen=True)
class Performer:
    """What an app knows of its runs.

    `perform` does a claimed run and returns when it is done. `is_warm` says that one would start at once here.
    `learn_estimator` looks at past runs and returns a function from a run to the seconds it will take.
    """

    perform: Callable[[Any], None]
    is_warm: Callable[[Any], bool]
    learn_estimator: Callable[[], Callable[[Any], float]]


_performers: dict[type[Run], Performer] = {}


def register_performer(
    model: type[Run],
    perform: Callable[[Any], None],
    *,
    is_warm: Callable[[Any], bool],
    learn_estimator: Callable[[], Callable[[Any], float]],
) -> None:
    """Called once by each app's tasks.py."""
    _performers[model] = Performer(perform, is_warm, learn_estimator)


def performer_of(model: type[Run]) -> Performer:
    return _performers[model]


def run_models(queue: str | None = None) -> list[type[Run]]:
    return [model for model in _performers if queue in (None, model.queue)]
