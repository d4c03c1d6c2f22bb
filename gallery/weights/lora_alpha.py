"""The strength a LoRA was trained at: alpha, which divided by the rank scales its weights."""

import math
from typing import Any

from gallery.metadata.values import as_float, load_object
from gallery.weights.header import SafetensorsHeader
from gallery.weights.lora_keys import LoraKeys, LoraModule
from gallery.weights.numbers import read_numbers

_CONFIG_LIMIT = 262_144


def read_alphas(header: SafetensorsHeader, keys: LoraKeys) -> list[float]:
    """One number per module, NaN where an alpha is not one number.

    A module without its own alpha has that of PEFT's configuration, and without that its rank. kohya's
    trainer writes 0 for "none", which means the rank too.
    """
    fallback = None if any(module.alpha for module in keys.modules.values()) else _peft_alpha(header, keys)
    with header.path.open("rb") as file:
        alphas = []
        for module in keys.modules.values():
            if module.alpha:
                values = read_numbers(file, module.alpha)
                alphas.append((values[0] or _rank(module)) if len(values) == 1 else math.nan)
            else:
                alphas.append(_rank(module) if fallback is None else fallback)
    return alphas


def _rank(module: LoraModule) -> float:
    return float(module.down.shape[0]) if module.down and module.down.shape else math.nan


def _peft_alpha(header: SafetensorsHeader, keys: LoraKeys) -> float | None:
    """diffusers keeps PEFT's configuration in the metadata, PEFT itself in a file beside the weights."""
    stored = load_object(header.metadata.get("lora_adapter_metadata", "")) or {}
    for config, key in ((stored, "unet.lora_alpha"), (stored, "lora_alpha")):
        if (alpha := as_float(config.get(key))) is not None:
            return alpha
    return as_float(_config_beside(header).get("lora_alpha")) if keys.format == "peft" else None


def _config_beside(header: SafetensorsHeader) -> dict[str, Any]:
    path = header.path.with_name("adapter_config.json")
    try:
        if header.path.name != "adapter_model.safetensors" or path.stat().st_size > _CONFIG_LIMIT:
            return {}
        return load_object(path.read_text("utf-8"), _CONFIG_LIMIT) or {}
    except (OSError, UnicodeDecodeError):
        return {}
