from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone


class Family(models.TextChoices):
    SD1 = "sd1", "Stable Diffusion 1"
    SD2 = "sd2", "Stable Diffusion 2"
    SDXL = "sdxl", "Stable Diffusion XL"
    UNKNOWN = "unknown", "unknown"


class LeanManager(models.Manager[Any]):
    """Leaves out the long table of modules until it is asked for."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().defer("modules")


class DiffusionModelQuerySet(models.QuerySet["DiffusionModel"]):
    def usable(self) -> "DiffusionModelQuerySet":
        return self.filter(enabled=True, reason="")

    def default(self) -> "DiffusionModel | None":
        return self.usable().order_by("-is_default", "added_at").first()


class DiffusionModel(models.Model):
    class Kind(models.TextChoices):
        FOLDER = "folder", "folder"
        FILE = "file", "single file"
        HUB = "hub", "hub"

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.FOLDER)
    location = models.CharField(
        max_length=500, help_text="a folder or file; for a hub model where it was downloaded to"
    )
    hub_id = models.CharField(max_length=200, blank=True)
    revision = models.CharField(max_length=100, blank=True)
    family = models.CharField(max_length=10, choices=Family.choices)
    prediction_type = models.CharField(max_length=20, blank=True, help_text="empty: as the model's scheduler says")
    cross_attention_dim = models.PositiveIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.BigIntegerField(default=0)
    licence = models.CharField(max_length=200, blank=True)
    is_default = models.BooleanField(default=False)
    modules = models.JSONField(default=dict, editable=False, help_text="module: [outputs, inputs], for fitting LoRAs")
    enabled = models.BooleanField(default=True)
    reason = models.CharField(max_length=500, blank=True, help_text="why it can't be used; empty when it can")
    added_at = models.DateTimeField(default=timezone.now, editable=False)

    width = models.PositiveIntegerField(default=512, validators=[MinValueValidator(64), MaxValueValidator(2048)])
    height = models.PositiveIntegerField(default=512, validators=[MinValueValidator(64), MaxValueValidator(2048)])
    steps = models.PositiveIntegerField(default=25, validators=[MinValueValidator(1), MaxValueValidator(150)])
    guidance = models.FloatField(default=7.0, validators=[MinValueValidator(0), MaxValueValidator(30)])
    sampler = models.CharField(max_length=40, default="DPM++ 2M Karras")
    upscale = models.PositiveSmallIntegerField(default=1, choices=[(1, "1"), (2, "2"), (4, "4")])

    objects: ClassVar[Any] = LeanManager.from_queryset(DiffusionModelQuerySet)()

    class Meta:
        ordering = ["name"]
        verbose_name = "model"

    def __str__(self) -> str:
        return self.name

    @property
    def available(self) -> bool:
        return self.enabled and not self.reason

    def make_default(self) -> None:
        with transaction.atomic():
            DiffusionModel.objects.exclude(pk=self.pk).filter(is_default=True).update(is_default=False)
            DiffusionModel.objects.filter(pk=self.pk).update(is_default=True)
        self.is_default = True


class LoraQuerySet(models.QuerySet["Lora"]):
    def usable(self) -> "LoraQuerySet":
        return self.filter(enabled=True, reason="")

    def fitting(self, model: DiffusionModel) -> "LoraQuerySet":
        return self.usable().filter(family=model.family, cross_attention_dim=model.cross_attention_dim)


class Lora(models.Model):
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    family = models.CharField(max_length=10, choices=Family.choices)
    cross_attention_dim = models.PositiveIntegerField(null=True, blank=True)
    format = models.CharField(max_length=20, blank=True)
    sha256 = models.CharField(max_length=64, unique=True)
    tensors_sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.BigIntegerField(default=0)
    rank = models.PositiveIntegerField(null=True, blank=True)
    alpha = models.FloatField(null=True, blank=True)
    trigger_words = models.JSONField(default=list, blank=True)
    default_weight = models.FloatField(default=0.8, validators=[MinValueValidator(-2), MaxValueValidator(2)])
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True, help_text="what the file says of itself")
    preview = models.ForeignKey("gallery.Image", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    modules = models.JSONField(default=dict, editable=False, help_text="module: [outputs, inputs], for fitting LoRAs")
    enabled = models.BooleanField(default=True)
    reason = models.CharField(max_length=500, blank=True, help_text="why it can't be used; empty when it can")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[Any] = LeanManager.from_queryset(LoraQuerySet)()

    class Meta:
        ordering = ["name"]
        verbose_name = "LoRA"

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Named by its hash, never by its sender."""
        return Path(settings.MODELS_DIR) / "loras" / f"{self.sha256}.safetensors"

    @property
    def usable(self) -> bool:
        return self.enabled and not self.reason
