from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


class Event(models.Model):
    """The audit trail: who did what to what, when. Rows are only ever added."""

    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    verb = models.CharField(max_length=60)
    target_type = models.CharField(max_length=60)
    target_id = models.CharField(max_length=60)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["target_type", "target_id"], name="event_target")]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_type} {self.target_id}"

    @classmethod
    def record(cls, actor: Any, verb: str, target: models.Model, **details: Any) -> "Event":
        """`actor` None means the program itself."""
        return cls.objects.create(
            actor=actor if getattr(actor, "pk", None) else None,
            verb=verb,
            target_type=target._meta.label_lower,
            target_id=str(target.pk),
            details=details,
        )


class MaintenanceRecord(models.Model):
    """One row per maintenance command: its first and its last run."""

    name = models.CharField(max_length=60, unique=True)
    first_run_at = models.DateTimeField(default=timezone.now)
    last_run_at = models.DateTimeField(default=timezone.now)
    succeeded = models.BooleanField(default=True)
    counts = models.JSONField(default=dict)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def note(cls, name: str, *, succeeded: bool = True, **counts: int) -> None:
        cls.objects.update_or_create(
            name=name, defaults={"last_run_at": timezone.now(), "succeeded": succeeded, "counts": counts}
        )


class IdempotencyKey(models.Model):
    """The first answer to a creating call that carried `Idempotency-Key`, given again to its repetitions."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    path = models.CharField(max_length=200)
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    location = models.CharField(max_length=300, blank=True)
    answer = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
