"""Rows and files for tests, made the way the product makes them."""

import itertools
from pathlib import Path
from typing import Any

import PIL.Image

from gallery.engine.document import Provenance, picture_info
from gallery.engine.protocol import GenerateRequest, ModelSpec
from gallery.models import DiffusionModel, Generation, GenerationLora, Image, Lora
from gallery.services.intake import enter_picture
from imagineer.runs import RunStatus

_numbers = itertools.count(1)
MODULES = {"unet.down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": [64, 128]}


def make_model(slug: str, **fields: Any) -> DiffusionModel:
    defaults = {"width": 128, "height": 96, "steps": 12, "guidance": 5.5, "sampler": "Euler", "upscale": 4}
    known = {"name": slug, "family": "sd1", "cross_attention_dim": 128, "modules": MODULES, "sha256": "a" * 64}
    model: DiffusionModel = DiffusionModel.objects.create(
        slug=slug, location=f"models/{slug}", **{**known, **defaults, **fields}
    )
    return model


def make_lora(slug: str, **fields: Any) -> Lora:
    known = {"name": slug, "family": "sd1", "cross_attention_dim": 128, "modules": MODULES}
    sha256 = f"{next(_numbers):064x}"
    lora: Lora = Lora.objects.create(slug=slug, **{**known, "sha256": sha256, **fields})
    return lora


def make_generation(user: Any, model: DiffusionModel, loras: Any = (), **fields: Any) -> Generation:
    """One that has succeeded, unless `fields` say otherwise; `loras` are pairs of LoRA and weight."""
    known = {
        "prompt": "an owl under a lantern",
        "width": 128,
        "height": 96,
        "steps": 12,
        "guidance": 5.5,
        "sampler": "Euler",
        "seed": 41,
        "status": RunStatus.SUCCEEDED,
    }
    generation: Generation = Generation.objects.create(created_by=user, model=model, **{**known, **fields})
    for position, (lora, weight) in enumerate(loras):
        GenerationLora.objects.create(generation=generation, lora=lora, weight=weight, position=position)
    return generation


def make_image(
    folder: Path, *, size: tuple[int, int] = (160, 120), prompt: str = "a secret owl", **fields: Any
) -> Image:
    """A PNG that carries its parameters as the engine writes them, taken in with its renditions."""
    number = next(_numbers)
    path = folder / f"made-{number}.png"
    pixels = PIL.Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 90))
    pixels.save(path, pnginfo=picture_info(_request(folder, prompt), 0, Provenance({"device": "cpu"}, {})))
    try:
        return enter_picture(path, **{"source": "generated", "seed": number, **fields})
    finally:
        path.unlink()


def _request(folder: Path, prompt: str) -> GenerateRequest:
    return GenerateRequest(
        job="1",
        model=ModelSpec(slug="tiny", location="nowhere", family="sd1"),
        prompt=prompt,
        negative_prompt="",
        width=160,
        height=120,
        steps=12,
        guidance=5.5,
        sampler="Euler",
        seed=41,
        count=1,
        indexes=(0,),
        loras=(),
        init_image=None,
        strength=1.0,
        upscale=1,
        out_dir=folder,
        metadata={},
    )
