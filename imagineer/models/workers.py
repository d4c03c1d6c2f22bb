from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone


class ClusterQuerySet(models.QuerySet["Cluster"]):
    def alive(self) -> "ClusterQuerySet":
        """Clusters that a supervisor vouched for lately and that answered their last canary."""
        patience = timedelta(seconds=settings.SILENCE_SECONDS + settings.CANARY_SECONDS)
        since = timezone.now() - patience
        return self.filter(supervised_at__gt=since, answered_at__gt=since) | self.busy(since)

    def busy(self, since: Any) -> "ClusterQuerySet":
        return self.filter(supervised_at__gt=since, moved_at__gt=since)

    def unanswered(self) -> "ClusterQuerySet":
        """Clusters whose last canary is still on its way."""
        return self.filter(rung_at__isnull=False).exclude(answered_at__gte=models.F("rung_at"))


class Cluster(models.Model):
    """One group of worker processes, as its supervisor sees it. `name` is host:queue:device."""

    name = models.CharField(max_length=150, unique=True)
    queue = models.CharField(max_length=30)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    workers = models.PositiveSmallIntegerField(default=1)
    started_at = models.DateTimeField(default=timezone.now)
    supervised_at = models.DateTimeField(default=timezone.now, help_text="the supervisor's last look")
    rung_at = models.DateTimeField(null=True, help_text="when the last canary was sent")
    answered_at = models.DateTimeField(null=True, help_text="when a canary last came back")
    moved_at = models.DateTimeField(null=True, help_text="when a run in its hands last renewed its lease")
    restarts = models.PositiveIntegerField(default=0)
    loaded = models.CharField(max_length=200, blank=True, help_text="what a resident child holds in memory")
    device = models.CharField(max_length=100, blank=True)

    objects: ClassVar[Any] = ClusterQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class FairShare(models.Model):
    """How far one user's turn has come in one queue: see imagineer/fairness.py."""

    queue = models.CharField(max_length=30)
    user_key = models.PositiveBigIntegerField(help_text="the user's id; 0 is the shell and the program itself")
    start_tag = models.FloatField(default=0, help_text="virtual seconds when this user was last served")
    finish_tag = models.FloatField(default=0, help_text="virtual seconds up to which this user has been served")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "user_key"], name="fair_share_once")]

    def __str__(self) -> str:
        return f"{self.queue}: {self.user_key}"
