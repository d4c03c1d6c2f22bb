"""One LoRA, written in every spelling that is around."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

RANK, ALPHA = 4, 6.0  # alpha other than the rank: a reader that forgets it is wrong by half
Lora = dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]]  # (part, dotted module): (down, up)

_TEXT = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def make_lora(model, seed=0, *, modules=r"(to_q|to_k|to_v|to_out\.0|ff\.net\.2|proj_in)$") -> Lora:
    """Random changes for the attention and feed-forward layers of the UNet and every text encoder."""
    generator = torch.Generator().manual_seed(seed)
    lora: Lora = {}
    for part, root in _parts(model):
        pattern = modules if part == "unet" else r"(q_proj|k_proj|v_proj|out_proj)$"
        for name, layer in root.named_modules():
            if re.search(pattern, name) and hasattr(layer, "weight"):
                lora[part, name] = _pair(layer.weight.shape, generator)
    return lora


def attention_only(lora: Lora) -> Lora:
    return {key: pair for key, pair in lora.items() if re.search(r"(to_[qkv]|to_out\.0|_proj)$", key[1])}


def deltas(lora: Lora, alpha: float = ALPHA) -> dict[tuple[str, str], torch.Tensor]:
    return {key: alpha / RANK * (up.flatten(1) @ down.flatten(1)) for key, (down, up) in lora.items()}


def _parts(model):
    return [
        ("unet", model.unet),
        *zip(("text_encoder", "text_encoder_2"), model.text_encoders, strict=False),
    ]


def _pair(shape, generator):
    down = torch.randn((RANK, *shape[1:]), generator=generator) / 8
    up = torch.randn((shape[0], RANK, *[1] * (len(shape) - 2)), generator=generator) / 8
    return down, up


def kohya(lora: Lora, path: Path, prefixes=None, names=lambda part, name: name) -> Path:
    prefixes = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"} | (prefixes or {})
    tensors = {}
    for (part, name), (down, up) in lora.items():
        # kohya's text encoders keep the `text_model` that transformers left out lately.
        full = name if part == "unet" else f"text_model.{name.removeprefix('text_model.')}"
        stem = f"{prefixes[part]}_{names(part, full).replace('.', '_')}"
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        tensors[f"{stem}.alpha"] = torch.tensor(ALPHA)
    return _save(tensors, path)


def diffusers(lora: Lora, path: Path) -> Path:
    tensors = {}
    for (part, name), (down, up) in lora.items():
        word = "lora" if part == "unet" else "lora_linear_layer"
        full = name if part == "unet" else f"text_model.{name.removeprefix('text_model.')}"
        tensors |= {f"{part}.{full}.{word}.down.weight": down, f"{part}.{full}.{word}.up.weight": up}
        tensors[f"{part}.{full}.alpha"] = torch.tensor(ALPHA)
    return _save(tensors, path)


def peft(lora: Lora, path: Path) -> Path:
    """As diffusers writes it today: no tensor says alpha, the metadata do."""
    tensors = {}
    for (part, name), (down, up) in lora.items():
        tensors |= {f"{part}.{name}.lora_A.weight": down, f"{part}.{name}.lora_B.weight": up}
    config: dict[str, object] = {}
    for part in dict.fromkeys(part for part, _ in lora):
        targets = [name for owner, name in lora if owner == part]
        config |= {f"{part}.r": RANK, f"{part}.lora_alpha": ALPHA, f"{part}.target_modules": targets}
    return _save(tensors, path, {"lora_adapter_metadata": json.dumps(config)})


def peft_own(lora: Lora, path: Path) -> Path:
    """PEFT's adapter_model.safetensors of the UNet alone; alpha stands in a file that is lost."""
    tensors = {}
    for (part, name), (down, up) in lora.items():
        if part == "unet":
            stem = f"base_model.model.{name}"
            tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
    return _save(tensors, path)


def old_processors(lora: Lora, path: Path, prefix: str = "unet.") -> Path:
    """diffusers before 2024: attention processors; the strength is in the matrices."""
    tensors = {}
    for (part, name), (down, up) in attention_only(lora).items():
        head, _, last = name.removesuffix(".0").rpartition(".")
        if part == "unet":
            stem = f"{prefix}{head}.processor.{last}_lora"
        else:
            stem = f"{part}.text_model.{head.removeprefix('text_model.')}.{_TEXT[last]}_lora"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return _save(tensors, path)


def _save(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> Path:
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path, metadata)
    return path
