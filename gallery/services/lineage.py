"""Where a picture came from and what came of it, as far as `user` may know."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch

from gallery.metadata import GenerationParameters, LoraUse
from gallery.models import DiffusionModel, Generation, GenerationLora, Image
from gallery.services.pictures import listed_images

USED_IN_LIMIT = 50


@dataclass(frozen=True)
class Lineage:
    """`init_image` and `used_in` hold only what the user may see; `used_in` newest first, at most 50."""

    image: Image
    generation: Generation | None
    init_image: Image | None
    used_in: list[Image]

    @property
    def model(self) -> DiffusionModel | None:
        return self.generation.model if self.generation else None

    @property
    def loras(self) -> list[GenerationLora]:
        return self.generation.lora_uses if self.generation else []


def lineage_of(user: Any, image: Image, *, adult: bool) -> Lineage:
    generation = origin_of(image)
    init_image = None
    if generation and generation.init_image_id:
        visible = Image.objects.visible_to(user).select_related("owner")
        init_image = visible.filter(pk=generation.init_image_id).first()
    made_from_it = listed_images(user, adult=adult).filter(generation__init_image=image)
    used_in = list(made_from_it.select_related("owner").newest()[:USED_IN_LIMIT])
    return Lineage(image, generation, init_image, used_in)


def origin_of(image: Image) -> Generation | None:
    """The generation with its model and LoRAs: two queries, none for a picture that has no generation."""
    if image.generation_id is None:
        return None
    found: Generation | None = with_ingredients(Generation.objects.filter(pk=image.generation_id)).first()
    return found


def with_ingredients(generations: Any) -> Any:
    """Model, LoRAs and owner, without the long tables of tensors."""
    uses = GenerationLora.objects.select_related("lora").defer("lora__modules", "lora__metadata")
    return (
        generations.select_related("model", "created_by")
        .defer("model__modules")
        .prefetch_related(Prefetch("lora_set", uses))
    )


def parameters_of(image: Image, generation: Generation) -> GenerationParameters:
    """What the original's own metadata says, from the rows."""
    return GenerationParameters(
        prompt=generation.prompt,
        negative_prompt=generation.negative_prompt,
        seed=image.seed,
        steps=generation.steps,
        sampler=generation.sampler,
        guidance=generation.guidance,
        width=generation.width,
        height=generation.height,
        model_name=generation.model.slug,
        model_hash=generation.model.sha256,
        loras=tuple(_lora_use(use) for use in generation.lora_uses),
        strength=generation.strength,
        upscale=float(generation.upscale) if generation.upscale > 1 else None,
    )


def _lora_use(use: GenerationLora) -> LoraUse:
    return LoraUse(use.lora.slug, use.weight, hash=use.lora.tensors_sha256, sha256=use.lora.sha256)
