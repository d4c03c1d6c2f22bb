"""What goes in and out of the gallery's part of the API."""

from datetime import date
from typing import Any, Literal

from django.urls import reverse
from pydantic import BaseModel, Field

from gallery.models import DiffusionModel, Generation, GenerationLora, Image, Lora
from gallery.services import requests as limits
from gallery.services.pictures import ImageChanges
from gallery.services.requests import GenerationRequest, LoraChoice
from gallery.services.uploads import Taken
from imagineer.pagination import PageParameters
from imagineer.schemas import Input, Moment, Number, Person, RunOut, Text, Whole

VisibilityName = Literal["private", "unlisted", "public"]
RatingName = Literal["safe", "suggestive", "adult", "explicit"]


def _range(pair: tuple[float, float], **extra: Any) -> Any:
    """Told to readers of the OpenAPI document; checked with everything else by gallery.services.requests."""
    return Field(None, json_schema_extra={"minimum": pair[0], "maximum": pair[1], **extra})


# In -----------------------------------------------------------------------------------------------


class LoraIn(Input):
    lora: Text = Field(description="slug")
    weight: Number | None = _range(limits.WEIGHT_LIMITS)


class GenerationIn(Input):
    """Only the prompt is required; the other defaults are the model's or those that docs/api.md names."""

    prompt: Text = Field(json_schema_extra={"minLength": 1, "maxLength": limits.PROMPT_LIMIT})
    negative_prompt: Text | None = Field(None, json_schema_extra={"maxLength": limits.PROMPT_LIMIT})
    model: Text | None = Field(None, description="slug")
    width: Whole | None = _range(limits.SIDE_LIMITS, multipleOf=limits.SIDE_STEP)
    height: Whole | None = _range(limits.SIDE_LIMITS, multipleOf=limits.SIDE_STEP)
    steps: Whole | None = _range(limits.STEPS_LIMITS)
    guidance: Number | None = _range(limits.GUIDANCE_LIMITS)
    sampler: Text | None = Field(None, description="a name from GET /samplers")
    seed: Whole | None = _range(limits.SEED_LIMITS)
    count: Whole | None = _range(limits.COUNT_LIMITS)
    loras: list[LoraIn] | None = Field(None, json_schema_extra={"maxItems": limits.LORA_LIMIT})
    init_image: Text | None = Field(None, description="id of a picture to start from")
    strength: Number | None = _range(limits.STRENGTH_LIMITS)
    upscale: Whole | None = Field(None, json_schema_extra={"enum": [*limits.UPSCALES, None]})
    visibility: Text | None = Field(None, description="private, unlisted or public")

    def to_request(self) -> GenerationRequest:
        fields = self.model_dump(exclude={"loras"})
        loras = [LoraChoice(choice.lora, choice.weight) for choice in self.loras or []]
        return GenerationRequest(**fields, loras=loras)


class ImageIn(Input):
    """What is left out stays as it is."""

    title: Text | None = None
    alt: Text | None = None
    licence: Text | None = None
    author: Text | None = None
    visibility: Text | None = Field(None, description="private, unlisted or public")
    rating: Text | None = Field(None, description="safe, suggestive, adult or explicit")

    def to_changes(self) -> ImageChanges:
        return ImageChanges(**self.model_dump())


class UploadIn(Input):
    """Beside the files of a multipart body."""

    album: Text | None = Field(None, description="id of an album that takes the pictures in")
    visibility: Text | None = Field(None, description="private, unlisted or public")
    caption: Text | None = Field(None, description="of all the pictures", json_schema_extra={"maxLength": 2000})


class GenerationQuery(PageParameters):
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"] | None = None


class ImageQuery(PageParameters):
    q: Text | None = Field(
        None,
        max_length=500,
        description='words of prompt, title and description, which may go on; "exactly this phrase"',
    )
    source: Literal["generated", "uploaded", "scraped"] | None = None
    model: Text | None = Field(None, max_length=80, description="slug of the model that made it")
    lora: Text | None = Field(None, max_length=80, description="slug of a LoRA that it was made with")
    owner: Text | None = Field(None, max_length=20, description="a person's id, or `me`")
    rating: RatingName | None = Field(None, description="the strongest rating that may be listed")
    since: date | None = Field(None, description="the first day, as 2026-11-25")
    until: date | None = Field(None, description="the last day")
    sort: Literal["new", "old", "random"] = "new"


# Out ----------------------------------------------------------------------------------------------


class ImageOut(BaseModel):
    id: str
    page_url: str
    file_url: str
    thumbnail_url: str
    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    source: str
    visibility: str
    rating: str
    title: str
    alt: str
    caption: str | None
    tags: list[str]
    seed: int | None
    owner: Person | None
    generation: str | None
    licence: str
    author: str
    created_at: Moment

    @classmethod
    def of(cls, image: Image) -> "ImageOut":
        """`image` comes with its owner."""
        own = f"{reverse('api:api-root')}images/{image.pk}"
        names = (
            "width",
            "height",
            "format",
            "bytes",
            "sha256",
            "source",
            "visibility",
            "rating",
            "title",
            "alt",
        )
        return cls(
            **{name: getattr(image, name) for name in (*names, "seed", "licence", "author", "created_at")},
            id=str(image.pk),
            page_url=image.get_absolute_url(),
            file_url=f"{own}/file",
            thumbnail_url=f"{own}/thumbnail?size=600",
            caption=image.caption or None,
            tags=[],
            owner=Person.of(image.owner),
            generation=str(image.generation_id) if image.generation_id else None,
        )


class UploadedOut(ImageOut):
    duplicate: bool = Field(description="these very bytes were there already")
    near_duplicates: list[str] = Field(description="ids of your pictures that look alike, nearest first, at most 10")

    @classmethod
    def of_upload(cls, taken: Taken) -> "UploadedOut":
        near = [str(pk) for pk in taken.near]
        return cls(**ImageOut.of(taken.image).model_dump(), duplicate=taken.duplicate, near_duplicates=near)


class RejectedOut(BaseModel):
    filename: str
    reason: str
    code: str = Field(description="bytes, format, size, frames, damaged, memory or decoder")


class UploadsOut(BaseModel):
    items: list[UploadedOut]
    rejected: list[RejectedOut]


class LoraUseOut(BaseModel):
    lora: str
    weight: float


class GenerationSummaryOut(RunOut):
    prompt: str
    negative_prompt: str
    model: str
    width: int
    height: int
    steps: int
    guidance: float
    sampler: str
    seed: int
    count: int
    loras: list[LoraUseOut]
    init_image: str | None
    strength: float | None
    upscale: int
    visibility: str
    rerun_of: str | None
    verdict: str | None = Field(description="of a rerun that has ended: identical, near or different")


class GenerationOut(GenerationSummaryOut):
    images: list[ImageOut]
    parameters: dict[str, Any] = Field(description="the same request once more, ready for POST /generations")
    seconds: float | None = Field(description="that the engine took, without loading the model")


_REQUEST_FIELDS = (
    "prompt", "negative_prompt", "width", "height", "steps", "guidance", "sampler", "seed", "count",
    "strength", "upscale", "visibility",
)  # fmt: skip


def request_fields(generation: Generation) -> dict[str, Any]:
    return {
        **{name: getattr(generation, name) for name in _REQUEST_FIELDS},
        "model": generation.model.slug,
        "loras": [{"lora": use.lora.slug, "weight": use.weight} for use in generation.lora_uses],
        "init_image": str(generation.init_image_id) if generation.init_image_id else None,
    }


class DefaultsOut(BaseModel):
    width: int
    height: int
    steps: int
    guidance: float
    sampler: str
    upscale: int


class ModelOut(BaseModel):
    id: str
    slug: str
    name: str
    family: str
    default: bool
    defaults: DefaultsOut
    available: bool
    reason: str | None
    licence: str
    sha256: str

    @classmethod
    def of(cls, model: DiffusionModel, *, is_default: bool) -> "ModelOut":
        return cls(
            **{name: getattr(model, name) for name in ("slug", "name", "family", "available", "licence", "sha256")},
            id=str(model.pk),
            default=is_default,
            defaults=DefaultsOut(**{name: getattr(model, name) for name in DefaultsOut.model_fields}),
            reason=(model.reason or None) if model.enabled else "An operator has switched it off.",
        )


class LoraOut(BaseModel):
    id: str
    slug: str
    name: str
    family: str
    rank: int | None
    alpha: float | None
    trigger_words: list[str]
    default_weight: float
    compatible: bool = Field(description="with the model that was asked about, or the default model")
    reason: str | None
    sha256: str
    training_run: str | None
    description: str
    licence: str
    created_at: Moment

    @classmethod
    def of(cls, lora: Lora, *, reason: str) -> "LoraOut":
        names = ("slug", "name", "family", "rank", "alpha", "trigger_words", "default_weight", "sha256")
        return cls(
            **{name: getattr(lora, name) for name in (*names, "description", "licence", "created_at")},
            id=str(lora.pk),
            compatible=not reason,
            reason=reason or None,
            training_run=None,
        )


class SamplerOut(BaseModel):
    name: str
    description: str
    stochastic: bool = Field(description="adds fresh noise in each step")
    evaluations: int = Field(description="of the network in one step")


class ThemeOut(BaseModel):
    theme: str
    style: str
    place: str
    light: str
    palette: str


class LineageGenerationOut(BaseModel):
    id: str
    created_at: Moment
    rerun_of: str | None
    verdict: str | None

    @classmethod
    def of(cls, generation: Generation) -> "LineageGenerationOut":
        return cls(
            id=str(generation.pk),
            created_at=generation.created_at,
            rerun_of=str(generation.rerun_of_id) if generation.rerun_of_id else None,
            verdict=generation.verdict or None,
        )


class LineageModelOut(BaseModel):
    id: str
    slug: str
    name: str
    family: str
    sha256: str
    licence: str

    @classmethod
    def of(cls, model: DiffusionModel) -> "LineageModelOut":
        names = ("slug", "name", "family", "sha256", "licence")
        return cls(id=str(model.pk), **{name: getattr(model, name) for name in names})


class LineageLoraOut(BaseModel):
    id: str
    slug: str
    name: str
    weight: float
    sha256: str
    training_run: str | None

    @classmethod
    def of(cls, use: GenerationLora) -> "LineageLoraOut":
        names = ("slug", "name", "sha256")
        known = {name: getattr(use.lora, name) for name in names}
        return cls(**known, id=str(use.lora_id), weight=use.weight, training_run=None)


class LineageOut(BaseModel):
    image: ImageOut
    generation: LineageGenerationOut | None
    model: LineageModelOut | None
    loras: list[LineageLoraOut]
    init_image: ImageOut | None
    used_in: list[ImageOut] = Field(description="pictures that were made from this one, newest first, at most 50")


class ParametersOut(BaseModel):
    parameters: dict[str, Any]
    text: str = Field(description="as AUTOMATIC1111's web UI writes them, which most other programs read")
