"""What a finished picture says about itself: everything needed to make it again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from PIL.PngImagePlugin import PngInfo

from gallery.engine.protocol import GenerateRequest
from gallery.metadata import GenerationParameters, LoraUse, png_chunks


@dataclass(frozen=True)
class Provenance:
    """What only the engine knows of a job: hashes of what it read, and what it computed with."""

    environment: dict[str, Any]
    lora_digests: dict[str, str]
    init_image_hash: str = ""


def picture_info(request: GenerateRequest, index: int, provenance: Provenance) -> PngInfo:
    """PNG chunks of picture `index`; the request's own `metadata` is merged into the document."""
    return png_chunks(parameters(request, index, provenance), document(request, index, provenance))


def parameters(request: GenerateRequest, index: int, provenance: Provenance) -> GenerationParameters:
    return GenerationParameters(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=request.seed_of(index),
        steps=request.steps,
        sampler=request.sampler,
        guidance=request.guidance,
        width=request.width,
        height=request.height,
        model_name=request.model.slug,
        model_hash=request.model.sha256 or "",
        loras=tuple(
            LoraUse(lora.name, lora.weight, provenance.lora_digests.get(lora.name, ""), lora.sha256 or "")
            for lora in request.loras
        ),
        init_image_hash=provenance.init_image_hash,
        strength=request.strength if request.init_image else None,
        upscale=float(request.upscale) if request.upscale > 1 else None,
    )


def document(request: GenerateRequest, index: int, provenance: Provenance) -> dict[str, Any]:
    model = asdict(request.model)
    model.pop("location")  # a path of the machine that made the picture tells strangers too much
    return {
        "model": model,
        "request": {"seed": request.seed, "index": index, "count": request.count},
        "environment": provenance.environment,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **request.metadata,
    }
