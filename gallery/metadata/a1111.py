"""The text format of AUTOMATIC1111's web UI, which nearly every other program reads."""

import json

from gallery.metadata.parameters import GenerationParameters, LoraUse
from gallery.metadata.samplers import split_schedule

VERSION = "0.1.0"

MODEL_HASH_LENGTH = 10
LORA_HASH_LENGTH = 12


def a1111_text(params: GenerationParameters) -> str:
    """Prompt, negative prompt and one line of settings; what is not known is left out.

    Enlarging after generation is noted as "Postprocess upscale by", the name A1111's own extras use:
    "Hires upscale" would make its reader sample a second time.
    """
    lines = [_prompt_with_tags(params)]
    if params.negative_prompt:
        lines.append(f"Negative prompt: {params.negative_prompt}")
    settings = {**_settings(params), **_extra(params), "Version": f"Imagineer {VERSION}"}
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items() if value != ""))
    return "\n".join(lines)


def _prompt_with_tags(params: GenerationParameters) -> str:
    tags = "".join(f"<lora:{_tag_name(lora)}:{_number(lora.weight)}>" for lora in params.loras)
    return f"{params.prompt} {tags}" if tags and params.prompt else params.prompt + tags


def _tag_name(lora: LoraUse) -> str:
    """A1111 knows a LoRA by its file's stem; the characters that end a tag or a list can't be in it."""
    return "".join("_" if char in ':<>,"\n\r' else char for char in lora.name)


def _settings(params: GenerationParameters) -> dict[str, str]:
    sampler, schedule = split_schedule(params.sampler)
    size = f"{params.width}x{params.height}" if params.width and params.height else ""
    return {
        "Steps": _number(params.steps),
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": _number(params.guidance),
        "Seed": _number(params.seed),
        "Size": size,
        "Model hash": params.model_hash[:MODEL_HASH_LENGTH],
        "Model": params.model_name,
        "Denoising strength": _number(params.strength),
        "Clip skip": _number(params.clip_skip),
        "Init image hash": params.init_image_hash[:MODEL_HASH_LENGTH],
        "Postprocess upscale by": _number(params.upscale if params.upscale != 1 else None),
        "Lora hashes": _lora_hashes(params.loras),
    }


def _lora_hashes(loras: tuple[LoraUse, ...]) -> str:
    return ", ".join(f"{_tag_name(lora)}: {lora.hash[:LORA_HASH_LENGTH]}" for lora in loras if lora.hash)


def _extra(params: GenerationParameters) -> dict[str, str]:
    taken = set(_settings(params)) | {"Version"}
    return {key: value for key, value in params.extra.items() if key not in taken and _is_key(key)}


def _is_key(key: str) -> bool:
    """What A1111's reader takes for a name: a letter or digit, then letters, digits, spaces, '-', '/'."""
    return bool(key) and (key[0].isalnum()) and all(char.isalnum() or char in "_ -/" for char in key)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def _quoted(value: str) -> str:
    ambiguous = value[:1] in ('"', "{", "[") or value != value.strip()
    if ambiguous or any(char in value for char in ",:\n"):
        return json.dumps(value, ensure_ascii=False)
    return value
