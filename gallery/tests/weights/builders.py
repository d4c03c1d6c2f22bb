"""Small files in the forms that the field's programs write, made from the published layouts."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gallery.weights import LoraInfo, ModelInfo
from gallery.weights.header import DTYPE_BYTES

Shape = Sequence[int]


def reason_of(info: ModelInfo | LoraInfo) -> str:
    """For tests of refusals, where no reason is a failure of its own."""
    assert info.reason is not None, "not refused"
    return info.reason


def safetensors_bytes(
    tensors: Mapping[str, tuple[str, Shape] | tuple[str, Shape, bytes]],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Values are (dtype, shape) for zeros, or (dtype, shape, bytes)."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    data = b""
    for key, (dtype, shape, *values) in tensors.items():
        count = DTYPE_BYTES[dtype]
        for size in shape:
            count *= size
        piece = values[0] if values else bytes(count)
        header[key] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(piece)],
        }
        data += piece
    return with_header(json.dumps(header).encode(), data)


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def write(path: Path, *args: Any, **kwargs: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(safetensors_bytes(*args, **kwargs))
    return path


def f16(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}e", *values)


# LoRAs. Rank 4; `outputs` is that of the first attention of SD 1.
def kohya_lora(width: int = 768, rank: int = 4, alpha: float | None = 2.0, outputs: int = 320) -> dict[str, Any]:
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    tensors: dict[str, Any] = {}
    for layer, inputs in (("attn1_to_q", outputs), ("attn2_to_k", width), ("attn2_to_v", width)):
        tensors |= pair(f"{block}_{layer}.lora_down.weight", f"{block}_{layer}.lora_up.weight", rank, inputs, outputs)
        if alpha is not None:
            tensors[f"{block}_{layer}.alpha"] = ("F16", (), f16(alpha))
    return tensors


def pair(down: str, up: str, rank: int, inputs: int, outputs: int) -> dict[str, Any]:
    return {down: ("F16", (rank, inputs)), up: ("F16", (outputs, rank))}


# Models: only the tensors that tell them apart, narrow where the width says nothing.
def sd1_file(width: int = 768, channels: int = 4) -> dict[str, Any]:
    unet = "model.diffusion_model."
    return {
        f"{unet}input_blocks.0.0.weight": ("F16", (8, channels, 3, 3)),
        f"{unet}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": ("F16", (8, width)),
        f"{unet}out.2.weight": ("F16", (4, 8, 3, 3)),
        "first_stage_model.encoder.conv_in.weight": ("F16", (8, 3, 3, 3)),
        "first_stage_model.decoder.conv_out.weight": ("F16", (3, 8, 3, 3)),
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight": ("F16", (8, 8)),
    }


def sd2_file(spread: float | None = None) -> dict[str, Any]:
    tensors = sd1_file(1024)
    del tensors["cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"]
    tensors["cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"] = ("F16", (24, 8))
    if spread is not None:
        key = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
        tensors[key] = ("F16", (4,), f16(spread, -spread, spread, -spread))
    return tensors


def sdxl_file(width: int = 2048) -> dict[str, Any]:
    tensors = {key: value for key, value in sd1_file().items() if not key.startswith(("cond_", "model.diffusion"))}
    unet = "model.diffusion_model."
    tensors[f"{unet}input_blocks.0.0.weight"] = ("F16", (8, 4, 3, 3))
    tensors[f"{unet}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"] = ("F16", (8, width))
    tensors[f"{unet}out.2.weight"] = ("F16", (4, 8, 3, 3))
    clip = "conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"
    tensors[clip] = ("F16", (8, 8))
    tensors["conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight"] = ("F16", (24, 8))
    return tensors


def model_folder(root: Path, width: int = 768, pipeline: str = "StableDiffusionPipeline") -> Path:
    """A diffusers folder that lacks nothing but numbers."""
    second = "XL" in pipeline
    write_json(root / "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.42.1"})
    write_json(root / "unet/config.json", {"cross_attention_dim": width, "sample_size": 16, "in_channels": 4})
    write_json(root / "vae/config.json", {"block_out_channels": [8, 8, 8]})
    write_json(root / "scheduler/scheduler_config.json", {"prediction_type": "v_prediction"})
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    write(
        root / "unet/diffusion_pytorch_model.safetensors",
        {
            f"{block}.attn1.to_q.weight": ("F16", (320, 320)),
            f"{block}.attn2.to_k.weight": ("F16", (320, width)),
            f"{block}.attn2.to_v.weight": ("F16", (320, width)),
        },
    )
    write(root / "vae/diffusion_pytorch_model.safetensors", {"decoder.conv_out.weight": ("F16", (3, 8, 3, 3))})
    for number in ("", "_2") if second else ("",):
        write_json(root / f"text_encoder{number}/config.json", {"hidden_size": 8})
        weights = {"encoder.layers.0.self_attn.q_proj.weight": ("F16", (8, 8))}
        write(root / f"text_encoder{number}/model.safetensors", weights)
        write_json(root / f"tokenizer{number}/tokenizer.json", {})
    return root


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
