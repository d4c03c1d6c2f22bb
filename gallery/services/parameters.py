"""What a picture was made from, whoever made it, and a request for more like it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gallery.engine.samplers import SAMPLERS
from gallery.metadata import GenerationParameters, LoraUse
from gallery.metadata.samplers import split_schedule
from gallery.models import DiffusionModel, Image, ImportedMetadata, Lora
from gallery.services import requests as limits
from gallery.services.lineage import origin_of, parameters_of
from gallery.services.requests import GenerationRequest, LoraChoice, request_of

HASH_LENGTH = 8  # hex digits that other programs write at least
PROGRAMS = {
    "imagineer": "Imagineer",
    "a1111": "A1111 or alike",
    "comfyui": "ComfyUI",
    "invokeai": "InvokeAI",
    "swarmui": "SwarmUI",
    "fooocus": "Fooocus",
}
T = TypeVar("T", int, float)


def parameters_known(image: Image) -> GenerationParameters | None:
    """Those it was generated with here, or those that its file came with."""
    generation = origin_of(image)
    return parameters_of(image, generation) if generation else parameters_found(image)


def parameters_found(image: Image) -> GenerationParameters | None:
    """Those that an uploaded file came with; `source` is the program that wrote them."""
    found = ImportedMetadata.objects.filter(pk=image.pk).values_list("program", "parameters").first()
    return GenerationParameters.from_json({**found[1], "source": found[0]}) if found else None


@dataclass(frozen=True)
class Alike:
    """`missing` names what the picture was made with and this studio doesn't have."""

    request: GenerationRequest
    missing: list[str] = field(default_factory=list)


def request_like(image: Image) -> Alike | None:
    """None for a picture whose making is not known."""
    if image.generation is not None:
        return Alike(request_of(image.generation))
    found = parameters_found(image)
    return request_from(found) if found else None


def request_from(found: GenerationParameters) -> Alike:
    """As much of it as can be asked for here; numbers are moved to the nearest that is allowed."""
    model = _model(found)
    missing = [] if model or not found.model_name else [f"the model {found.model_name}"]
    choices = []
    for use in found.loras[: limits.LORA_LIMIT]:
        lora = _lora(use)
        if lora:
            choices.append(LoraChoice(lora.slug, _within(use.weight, limits.WEIGHT_LIMITS)))
        else:
            missing.append(f"the LoRA {use.name}")
    request = GenerationRequest(
        prompt=found.prompt[: limits.PROMPT_LIMIT].strip(),
        negative_prompt=found.negative_prompt[: limits.PROMPT_LIMIT],
        model=model.slug if model else None,
        width=_side(found.width),
        height=_side(found.height),
        steps=_within(found.steps, limits.STEPS_LIMITS),
        guidance=_within(found.guidance, limits.GUIDANCE_LIMITS),
        sampler=_sampler(found.sampler),
        seed=found.seed if found.seed is not None and _is_seed(found.seed) else None,
        loras=choices,
    )
    return Alike(request, missing)


def _within(value: T | None, bounds: tuple[Any, Any]) -> T | None:
    return None if value is None else max(bounds[0], min(bounds[1], value))


def _side(value: int | None) -> int | None:
    nearest = value and round(value / limits.SIDE_STEP) * limits.SIDE_STEP
    return _within(nearest, limits.SIDE_LIMITS)


def _is_seed(value: int) -> bool:
    return limits.SEED_LIMITS[0] <= value <= limits.SEED_LIMITS[1]


def _sampler(name: str) -> str | None:
    known = {each.lower(): each for each in SAMPLERS}
    return known.get(name.lower()) or known.get(split_schedule(name)[0].lower())


def _model(found: GenerationParameters) -> DiffusionModel | None:
    digest, name = found.model_hash.lower(), found.model_name.lower()
    models = DiffusionModel.objects.usable().only("slug", "name", "sha256")
    return _first(models, lambda m: _same(digest, m.sha256), lambda m: name in (m.slug.lower(), m.name.lower()))


def _lora(use: LoraUse) -> Lora | None:
    name = use.name.lower()
    loras = Lora.objects.usable().only("slug", "name", "sha256", "tensors_sha256")
    return _first(
        loras,
        lambda lora: _same(use.sha256, lora.sha256) or _same(use.hash, lora.tensors_sha256, lora.sha256),
        lambda lora: name in (lora.slug.lower(), lora.name.lower()),
    )


def _first(rows: Iterable[Any], *tests: Any) -> Any:
    """The first row that passes the first test that any passes: a hash says more than a name."""
    known = list(rows)
    return next((row for test in tests for row in known if test(row)), None)


def _same(digest: str, *known: str) -> bool:
    """Programs cut hashes to their first 8 to 12 digits."""
    digest = digest.lower().removeprefix("0x")
    return len(digest) >= HASH_LENGTH and any(each.startswith(digest) for each in known)
