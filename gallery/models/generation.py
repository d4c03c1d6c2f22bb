from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse

from gallery.models.image import Image, Visibility
from gallery.models.registry import DiffusionModel, Lora
from imagineer.runs import Run


class Verdict(models.TextChoices):
    """How a rerun compares with the pictures it repeats."""

    IDENTICAL = "identical", "identical"
    NEAR = "near", "near"
    DIFFERENT = "different", "different"


class Generation(Run):
    """One request for `count` pictures; picture i has seed `seed` + i."""

    queue = "generation"

    model = models.ForeignKey(DiffusionModel, on_delete=models.PROTECT, related_name="generations")
    prompt = models.TextField()
    negative_prompt = models.TextField(blank=True)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    steps = models.PositiveIntegerField()
    guidance = models.FloatField()
    sampler = models.CharField(max_length=40)
    seed = models.BigIntegerField()
    count = models.PositiveSmallIntegerField(default=1)
    upscale = models.PositiveSmallIntegerField(default=1)
    init_image = models.ForeignKey(Image, null=True, blank=True, on_delete=models.SET_NULL, related_name="used_in")
    strength = models.FloatField(null=True, blank=True)
    loras = models.ManyToManyField(Lora, through="GenerationLora", related_name="generations")
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PRIVATE)

    seconds = models.FloatField(null=True, editable=False, help_text="the engine's own time, without loading")
    environment = models.JSONField(default=dict, editable=False)
    rerun_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="reruns")
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True, editable=False)

    class Meta(Run.Meta):
        indexes = [
            *Run.Meta.indexes,
            models.Index(fields=["model", "status", "-finished_at"], name="generation_history"),
        ]

    def get_absolute_url(self) -> str:
        return f"{reverse('create')}?generation={self.pk}"

    @property
    def preview_path(self) -> Path:
        """The latest preview of a picture that is forming; JPEG, at most 256 px."""
        return Path(settings.DATA_DIR) / "previews" / f"{self.pk}.jpg"

    @property
    def lora_uses(self) -> list["GenerationLora"]:
        """With the LoRAs; prefetch `lora_set__lora` when listing."""
        return sorted(self.lora_set.all(), key=lambda use: use.position)


class GenerationLora(models.Model):
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="lora_set")
    lora = models.ForeignKey(Lora, on_delete=models.PROTECT, related_name="use_set")
    weight = models.FloatField()
    position = models.PositiveSmallIntegerField()

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["generation", "lora"], name="lora_once_per_generation")]

    def __str__(self) -> str:
        return f"{self.lora} × {self.weight}"
