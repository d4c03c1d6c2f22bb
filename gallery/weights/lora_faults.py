"""Why a LoRA file can't be used, as a sentence for the person who brought it."""

import math
from collections.abc import Iterable, Sequence

from gallery.weights.header import SafetensorsHeader
from gallery.weights.info import REFINER_WIDTH
from gallery.weights.lora_keys import LoraKeys, LoraModule

RANK_LIMIT = 512
# Looked for inside a key that is given a final dot, so that ".diff." is an ending or a whole part.
_KINDS = (
    ("hada_w1_a", "LoHa"),
    ("lokr_w", "LoKr"),
    (".dora_scale.", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    (".oft_", "OFT"),
    (".boft_", "BOFT"),
    ("bundle_emb.", "LoRA with bundled embeddings"),
    (".on_input.", "IA3"),
    (".diff.", "full-difference file"),
    (".diff_b.", "full-difference file"),
    (".lora_mid.", "LoCon in Tucker form"),
    (".reshape_weight.", "LoRA of a reshaped model"),
)
_NOT_LORAS = (
    ("model.diffusion_model.", "a whole model; add it with `models add`"),
    ("first_stage_model.", "a VAE or a whole model, not a LoRA"),
    ("cond_stage_model.", "a text encoder or a whole model, not a LoRA"),
    ("emb_params", "a textual inversion embedding, not a LoRA"),
    ("clip_l", "a textual inversion embedding, not a LoRA"),
    ("control_model.", "a ControlNet, not a LoRA"),
)
_FOREIGN = (
    ("double_blocks", "Flux"),
    ("single_blocks", "Flux"),
    ("single_transformer_blocks", "Flux"),
    ("transformer.single_transformer_blocks", "Flux"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("transformer.", "a transformer model such as Flux or Stable Diffusion 3"),
    ("diffusion_model.", "a model Imagineer doesn't run"),
)


def fault_of(header: SafetensorsHeader, keys: LoraKeys, widths: list[int], alphas: Sequence[float]) -> str | None:
    """None when the file can be loaded."""
    name = header.path.name
    sentence = _foreign_fault(header.tensors, name) or _structure_fault(keys, name)
    if sentence:
        return sentence
    if any(not math.isfinite(alpha) for alpha in alphas):
        return f"{name} has an alpha that is not one finite number; its strength can't be known."
    if len(widths) > 1:
        return f"{name} mixes layers of cross-attention widths {_list(widths)}; it fits no model."
    if widths == [REFINER_WIDTH]:
        return f"{name} was made for the SDXL refiner, which Imagineer doesn't run."
    return None


def _foreign_fault(tensors: Iterable[str], name: str) -> str | None:
    for key in tensors:
        plain = key.removeprefix("lora_unet_").removeprefix("base_model.model.")
        for start, kind in _NOT_LORAS:
            if key.startswith(start):
                return f"{name} is {kind}."
        for part, kind in _KINDS:
            if part in f"{key}.":
                return f"{name} is a {kind}, which can't be loaded at its right strength; use a plain LoRA."
        for start, family in _FOREIGN:
            if plain.startswith(start):
                return f"{name} was made for {family}; Imagineer runs SD 1, SD 2 and SDXL."
    return None


def _structure_fault(keys: LoraKeys, name: str) -> str | None:
    if not keys.modules:
        return f"{name} holds no LoRA layers that Imagineer knows."
    if keys.strange:
        return f"{name} holds tensors that are no part of a LoRA, such as {keys.strange[0][:80]!r}."
    for module_name, module in keys.modules.items():
        if sentence := _module_fault(module):
            return f"{name} is damaged: {module_name[:80]} {sentence}."
        if module.down and module.down.shape[0] > RANK_LIMIT:
            return f"{name} has rank {module.down.shape[0]:,}; the limit is {RANK_LIMIT}."
    return None


def _module_fault(module: LoraModule) -> str | None:
    if module.down is None or module.up is None:
        return "has only one of its two matrices"
    down, up = module.down.shape, module.up.shape
    if len(down) not in (2, 4) or len(down) != len(up):
        return "has matrices of unlike form"
    if down[0] != up[1] or down[0] == 0:
        return f"has matrices of unlike rank, {down[0]} and {up[1]}"
    return None


def _list(widths: list[int]) -> str:
    return ", ".join(str(width) for width in widths[:4])
