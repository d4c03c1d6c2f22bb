"""From what somebody asks for to a queued Generation: every limit of a request in one place."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gallery.engine.prompts import extract_lora_tags
from gallery.engine.samplers import SAMPLERS
from gallery.models import DiffusionModel, Generation, GenerationLora, Image, Lora, Visibility
from gallery.services.registry import why_lora_does_not_fit
from imagineer import queue
from imagineer.errors import Conflict, FieldError, Invalid, TooMany
from imagineer.models import Event

PROMPT_LIMIT = 2000
SIDE_LIMITS = (64, 2048)
SIDE_STEP = 8
STEPS_LIMITS = (1, 150)
GUIDANCE_LIMITS = (0.0, 30.0)
SEED_LIMITS = (0, 2**32 - 1)
COUNT_LIMITS = (1, 16)
WEIGHT_LIMITS = (-2.0, 2.0)
STRENGTH_LIMITS = (0.0, 1.0)
DEFAULT_STRENGTH = 0.6
LORA_LIMIT = 8
UPSCALES = (1, 2, 4)


@dataclass(frozen=True)
class LoraChoice:
    lora: str  # slug
    weight: float | None = None  # None: the LoRA's default


@dataclass(frozen=True)
class GenerationRequest:
    """As it arrives; None means the default, which is the model's where the model has one. 0 is a value."""

    prompt: str
    negative_prompt: str | None = None
    model: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    seed: int | None = None
    count: int | None = None
    loras: Sequence[LoraChoice] = field(default_factory=tuple)
    init_image: str | None = None
    strength: float | None = None
    upscale: int | None = None
    visibility: str | None = None


def create_generation(user: Any, request: GenerationRequest, **extra: Any) -> Generation:
    """Checks and queues a request; raises Invalid (all fields at once) or TooMany, and then nothing is queued.

    `user` None is the shell. `extra` are further fields of the row, such as `rerun_of`.
    """
    generation, uses = prepare_generation(user, request)
    for name, value in extra.items():
        setattr(generation, name, value)
    with transaction.atomic():
        _check_rate(user)
        queue.submit(generation)
        _attach(uses, generation)
        Event.record(user, "generate", generation)
    return generation


def create_claimed_generation(owner: Any, request: GenerationRequest, worker: str) -> Generation:
    """For the shell: checked like any other, but claimed by the caller at once instead of queued."""
    generation, uses = prepare_generation(None, request)
    generation.created_by = owner
    with transaction.atomic():
        generation.save(force_insert=True)
        _attach(uses, generation)
        generation.claim(worker)
    return generation


def rerun_generation(user: Any, original: Generation) -> Generation:
    """The same request with the same seed, for oneself only; when it is done the pictures are compared."""
    if not original.is_terminal:
        raise Conflict("This generation hasn't ended yet.")
    request = replace(request_of(original), visibility=Visibility.PRIVATE)
    return create_generation(user, request, rerun_of=original)


def request_of(generation: Generation) -> GenerationRequest:
    return GenerationRequest(
        prompt=generation.prompt,
        negative_prompt=generation.negative_prompt,
        model=generation.model.slug,
        width=generation.width,
        height=generation.height,
        steps=generation.steps,
        guidance=generation.guidance,
        sampler=generation.sampler,
        seed=generation.seed,
        count=generation.count,
        loras=[LoraChoice(use.lora.slug, use.weight) for use in generation.lora_uses],
        init_image=str(generation.init_image_id) if generation.init_image_id else None,
        strength=generation.strength,
        upscale=generation.upscale,
        visibility=generation.visibility,
    )


def prepare_generation(user: Any, request: GenerationRequest) -> tuple[Generation, list[GenerationLora]]:
    """The rows that the request means, unsaved. Raises Invalid."""
    errors = _Errors()
    prompt, tags = _prompt(request.prompt, errors)
    negative = (request.negative_prompt or "").strip()
    if len(negative) > PROMPT_LIMIT:
        errors.add("negative_prompt", f"has {len(negative)} characters; at most {PROMPT_LIMIT} are allowed.")
    model = _model(request.model, errors)
    choices = [*request.loras, *(LoraChoice(name, weight) for name, weight in tags)]
    uses = _loras(choices, model, errors)
    init_image = _init_image(user, request.init_image, errors)
    generation = Generation(
        created_by=user if getattr(user, "pk", None) else None,
        prompt=prompt,
        negative_prompt=negative,
        init_image=init_image,
        **_numbers(request, model, errors),
    )
    generation.strength = _strength(request, init_image, errors)
    generation.visibility = errors.choose("visibility", request.visibility, Visibility.PRIVATE, Visibility.values)
    errors.raise_any()
    assert model is not None
    generation.model = model
    generation.total = generation.steps * generation.count
    return generation, uses


def _attach(uses: list[GenerationLora], generation: Generation) -> None:
    for use in uses:
        use.generation = generation
    GenerationLora.objects.bulk_create(uses)


def _numbers(request: GenerationRequest, model: DiffusionModel | None, errors: "_Errors") -> dict[str, Any]:
    defaults = model or DiffusionModel()
    numbers: dict[str, Any] = {
        name: errors.side(name, getattr(request, name), getattr(defaults, name)) for name in ("width", "height")
    }
    numbers["steps"] = errors.within("steps", request.steps, defaults.steps, STEPS_LIMITS)
    numbers["guidance"] = errors.within("guidance", request.guidance, defaults.guidance, GUIDANCE_LIMITS)
    numbers["count"] = errors.within("count", request.count, 1, COUNT_LIMITS)
    numbers["seed"] = errors.within("seed", request.seed, secrets.randbits(32), SEED_LIMITS)
    numbers["sampler"] = errors.choose("sampler", request.sampler, defaults.sampler, SAMPLERS)
    numbers["upscale"] = errors.choose("upscale", request.upscale, defaults.upscale, UPSCALES)
    return numbers


def _prompt(text: str, errors: "_Errors") -> tuple[str, list[tuple[str, float]]]:
    trimmed = (text or "").strip()
    if not trimmed:
        errors.add("prompt", "is empty; say what the picture shows.")
    elif len(trimmed) > PROMPT_LIMIT:
        errors.add("prompt", f"has {len(trimmed)} characters; at most {PROMPT_LIMIT} are allowed.")
    elif "\0" in trimmed:
        errors.add("prompt", "contains a NUL character.")
    else:
        return extract_lora_tags(trimmed)
    return "", []


def _model(slug: str | None, errors: "_Errors") -> DiffusionModel | None:
    if slug is None:
        model: DiffusionModel | None = DiffusionModel.objects.default()
        if model is None:
            errors.add("model", "there is no usable model; add one with `manage.py models add`.")
        return model
    model = DiffusionModel.objects.filter(slug=slug).first()
    if model is None or not model.enabled:
        errors.add("model", f"there is no model named {slug!r}.")
        return None
    if model.reason:
        errors.add("model", f"{slug!r} can't be used: {model.reason}")
        return None
    return model


def _loras(choices: list[LoraChoice], model: DiffusionModel | None, errors: "_Errors") -> list[GenerationLora]:
    if len(choices) > LORA_LIMIT:
        errors.add("loras", f"{len(choices)} were given; at most {LORA_LIMIT} are allowed.")
        return []
    if len({choice.lora for choice in choices}) < len(choices):
        errors.add("loras", "the same LoRA is named twice.")
        return []
    known = {lora.slug: lora for lora in Lora.objects.filter(slug__in=[choice.lora for choice in choices])}
    uses = []
    for position, choice in enumerate(choices):
        lora = known.get(choice.lora)
        reason = _lora_problem(choice.lora, lora, model)
        if reason:
            errors.add("loras", reason)
        elif lora is not None:
            weight = errors.within("loras", choice.weight, lora.default_weight, WEIGHT_LIMITS)
            uses.append(GenerationLora(lora=lora, weight=weight, position=position))
    return uses


def _lora_problem(slug: str, lora: Lora | None, model: DiffusionModel | None) -> str:
    if lora is None or not lora.enabled:
        return f"there is no LoRA named {slug!r}."
    if lora.reason:
        return f"{slug!r} can't be used: {lora.reason}"
    return why_lora_does_not_fit(lora, model) if model else ""


def _init_image(user: Any, image_id: str | None, errors: "_Errors") -> Image | None:
    if image_id is None:
        return None
    try:
        wanted = UUID(str(image_id))
    except ValueError:
        wanted = None
    visible = Image.objects.visible_to(user) if user is not None else Image.objects.kept()
    image: Image | None = visible.filter(pk=wanted).first() if wanted else None
    if image is None:
        errors.add("init_image", "there is no such picture, or it isn't yours to use.")
    return image


def _strength(request: GenerationRequest, init_image: Image | None, errors: "_Errors") -> float | None:
    if request.strength is not None and request.init_image is None:
        errors.add("strength", "only makes sense together with init_image.")
    if init_image is None:
        return None
    return float(errors.within("strength", request.strength, DEFAULT_STRENGTH, STRENGTH_LIMITS))


def _check_rate(user: Any) -> None:
    if user is None:
        return
    mine = Generation.objects.filter(created_by=user)
    if mine.active().count() >= settings.QUEUE_PER_USER:
        raise TooMany(f"You have {settings.QUEUE_PER_USER} generations in the queue already.", 60)
    limit = settings.GENERATIONS_PER_MINUTE
    if not limit:
        return
    since = timezone.now() - timedelta(minutes=1)
    recent = list(mine.filter(created_at__gt=since).order_by("-created_at").values_list("created_at", flat=True))
    if len(recent) >= limit:
        wait = (recent[limit - 1] - since).total_seconds()
        raise TooMany(f"No more than {limit} a minute can be asked for.", max(1, round(wait + 0.5)))


class _Errors:
    """Collects what is wrong, so that all of it can be said at once."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def add(self, name: str, message: str) -> None:
        self.found.append(FieldError(name, message))

    def raise_any(self) -> None:
        if self.found:
            raise Invalid(*self.found)

    def within(self, name: str, value: Any, default: Any, limits: tuple[float, float]) -> Any:
        if value is None:
            return default
        low, high = limits
        if not low <= value <= high:  # also catches NaN
            self.add(name, f"is {value}; it must be from {low:g} to {high:.10g}.")
            return default
        return value

    def side(self, name: str, value: int | None, default: int) -> int:
        side: int = self.within(name, value, default, SIDE_LIMITS)
        if side % SIDE_STEP:
            self.add(name, f"is {side}; it must be a multiple of {SIDE_STEP}.")
        return side

    def choose(self, name: str, value: Any, default: Any, allowed: Any) -> Any:
        if value is None:
            return default
        if value not in allowed:
            self.add(name, f"is {value!r}; choose from {', '.join(map(str, allowed))}.")
            return default
        return value
