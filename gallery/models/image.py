from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import connections, models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from gallery.words import phrases_of
from imagineer.ids import uuid7

RENDITIONS = (300, 600, 1200)  # the longer side of each, px; pictures are never enlarged


class Visibility(models.TextChoices):
    PRIVATE = "private", "private"
    UNLISTED = "unlisted", "unlisted"
    PUBLIC = "public", "public"


class Rating(models.TextChoices):
    UNRATED = "unrated", "unrated"
    SAFE = "safe", "safe"
    SUGGESTIVE = "suggestive", "suggestive"
    ADULT = "adult", "adult"
    EXPLICIT = "explicit", "explicit"

    @classmethod
    def open(cls) -> tuple[str, ...]:
        """Shown to every visitor."""
        return (cls.SAFE.value, cls.SUGGESTIVE.value)

    @classmethod
    def gated(cls) -> tuple[str, ...]:
        """Shown to a visitor who has confirmed to be an adult. What nobody has rated is shown to no visitor."""
        return (cls.ADULT.value, cls.EXPLICIT.value)


class Source(models.TextChoices):
    GENERATED = "generated", "generated"
    UPLOADED = "uploaded", "uploaded"
    SCRAPED = "scraped", "scraped"


class ImageQuerySet(models.QuerySet["Image"]):
    def kept(self) -> Self:
        return self.filter(deleted_at=None)

    def public(self) -> Self:
        """Listed for everybody, whatever the rating: combine with `suited_to`."""
        return self.kept().filter(visibility=Visibility.PUBLIC)

    def open_to_all(self) -> Self:
        """What may be told to the whole world: feed, sitemap, previews of links."""
        return self.public().filter(rating__in=Rating.open())

    def visible_to(self, user: Any) -> Self:
        """What `user` may open, by its address: one's own, public and unlisted ones; operators all that is kept.

        Public and unlisted pictures that nobody has rated stay with their owner and the operators.
        """
        if getattr(user, "is_operator", False):
            return self.kept()
        shared = Q(visibility__in=(Visibility.PUBLIC, Visibility.UNLISTED)) & ~Q(rating=Rating.UNRATED)
        own = Q(owner=user) if user.is_authenticated else Q()
        return self.kept().filter(own | shared if own else shared)

    def suited_to(self, *, adult: bool) -> Self:
        """For lists: without pictures whose rating the viewer has not asked to see."""
        return self.filter(rating__in=(*Rating.open(), *(Rating.gated() if adult else ())))

    def owned_by(self, user: Any) -> Self:
        return self.kept().filter(owner=user)

    def search(self, text: str) -> Self:
        """Pictures with all words of `text`, annotated with `place`, by which alone they are read in order quickly.

        Newest first is falling places. Words may go on, those in double quotes stand exactly so. A text without any
        letter or digit finds nothing.
        """
        phrases = phrases_of(text)
        on_sqlite = connections[self.db].vendor == "sqlite"
        words, place = ("document__entry__text", "document__entry__pk") if on_sqlite else ("document__text", "document")
        found = self.filter(**{f"{words}__matches": phrases}) if phrases else self.none()
        return found.annotate(place=F(place))

    def newest(self) -> Self:
        return self.order_by("-created_at", "-id")


class Image(models.Model):
    """One picture. Its files are `original` and a WebP rendition per size, all named by the original's SHA-256."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="images")
    source = models.CharField(max_length=10, choices=Source.choices)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PRIVATE)
    rating = models.CharField(max_length=10, choices=Rating.choices, default=Rating.UNRATED)
    rating_source = models.CharField(max_length=30, blank=True)
    rating_locked = models.BooleanField(default=False)
    title = models.CharField(max_length=200, blank=True)
    alt = models.CharField(max_length=500, blank=True)
    caption = models.TextField(max_length=2000, blank=True)

    sha256 = models.CharField(max_length=64, editable=False)
    format = models.CharField(max_length=5, editable=False, help_text="png, jpeg, webp, avif or gif")
    bytes = models.PositiveIntegerField(editable=False)
    width = models.PositiveIntegerField(editable=False)
    height = models.PositiveIntegerField(editable=False)
    dhash = models.BigIntegerField(null=True, editable=False, help_text="difference hash, 64 bits")
    color = models.CharField(max_length=7, default="#808080", editable=False, help_text="mean colour, #rrggbb")
    thumbhash = models.CharField(max_length=60, blank=True, editable=False, help_text="Base64, some 25 bytes")
    sharpness = models.FloatField(
        null=True, editable=False, help_text="variance of the Laplacian at 600 px; some 100 and less looks blurred"
    )
    frames = models.PositiveIntegerField(default=1, editable=False, help_text="more than 1: an animation")

    generation = models.ForeignKey(
        "gallery.Generation", null=True, on_delete=models.SET_NULL, related_name="images", editable=False
    )
    index = models.PositiveSmallIntegerField(null=True, editable=False, help_text="its number within the generation")
    seed = models.BigIntegerField(null=True, editable=False)

    licence = models.CharField(max_length=200, blank=True)
    author = models.CharField(max_length=200, blank=True)
    source_url = models.URLField(max_length=2000, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "sha256"], name="image_once_per_owner"),
            models.UniqueConstraint(fields=["generation", "index"], name="image_once_per_generation_index"),
        ]
        indexes = [
            models.Index(fields=["visibility", "-created_at", "-id"], name="image_public"),
            models.Index(fields=["-created_at", "-id"], name="image_newest"),
            models.Index(fields=["owner", "-created_at", "-id"], name="image_owner"),
            models.Index(fields=["sha256"], name="image_sha256"),
            models.Index(fields=["deleted_at"], name="image_trash", condition=Q(deleted_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.title or f"picture {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("image", args=[self.pk])

    @property
    def original_key(self) -> str:
        return original_key(self.sha256, self.format)

    def rendition_key(self, size: int) -> str:
        return rendition_key(self.sha256, size)

    @property
    def is_open_to_all(self) -> bool:
        return self.visibility == Visibility.PUBLIC and self.rating in Rating.open() and self.deleted_at is None

    @property
    def file_keys(self) -> list[str]:
        return [self.original_key, *(self.rendition_key(size) for size in RENDITIONS)]

    @property
    def is_gated(self) -> bool:
        return self.rating in Rating.gated()

    def rendition_size(self, size: int) -> tuple[int, int]:
        """Width and height of a rendition, px."""
        scale = min(1.0, size / max(self.width, self.height))
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


class ImportedMetadata(models.Model):
    """What a picture's own file says of its making, for pictures that were not made here."""

    image = models.OneToOneField(Image, primary_key=True, on_delete=models.CASCADE, related_name="imported_metadata")
    program = models.CharField(max_length=20, editable=False)
    parameters = models.JSONField(editable=False, help_text="prompt, seed, steps, model, LoRAs …")
    raw = models.JSONField(
        editable=False, help_text="the file's texts as they were found, a million characters at most"
    )

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        verbose_name_plural = "imported metadata"

    def __str__(self) -> str:
        return f"{self.program}, picture {self.image_id}"


class PendingFile(models.Model):
    """A file that is being put into the store, or taken out of it: the row is made before anything is done to the
    file, and goes in the transaction that makes the picture's row, or after the file.

    What is left after a crash tells the sweeper which file belongs to nobody.
    """

    key = models.CharField(max_length=200, db_index=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return self.key

    @classmethod
    def older_than(cls, moment: datetime) -> "models.QuerySet[PendingFile]":
        return cls.objects.filter(created_at__lt=moment)


def original_key(sha256: str, image_format: str) -> str:
    return f"originals/{sha256[:2]}/{sha256}.{image_format}"


def rendition_key(sha256: str, size: int) -> str:
    return f"renditions/{sha256[:2]}/{sha256}-{size}.webp"
