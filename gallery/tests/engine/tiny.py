"""Models of each family with the real layout and next to no weights: random, seeded, a megabyte or so.

The starter model knows pictures; these only have to load, step and take LoRAs as their big brothers do.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gallery.engine.protocol import ModelSpec
from gallery.engine.single_file import clip_tokenizer

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
FAMILIES = ("sd1", "sd2", "sdxl")


def build_model(family: str, folder: Path) -> ModelSpec:
    """Saves a tiny model of the family as a diffusers folder."""
    torch.manual_seed(7)
    width = {"sd1": 32, "sd2": 40, "sdxl": 32 + 48}[family]
    unet(family, width).save_pretrained(folder / "unet")
    vae(family).save_pretrained(folder / "vae")
    scheduler(family).save_pretrained(folder / "scheduler")
    for name, encoder, pad in text_encoders(family):
        encoder.save_pretrained(folder / name)
        clip_tokenizer(pad).save_pretrained(folder / name.replace("text_encoder", "tokenizer"))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return ModelSpec(f"tiny-{family}", str(folder), family)


def unet(family: str, width: int) -> UNet2DConditionModel:
    extra: dict[str, Any] = {"attention_head_dim": 4}
    if family != "sd1":
        extra = {"attention_head_dim": (2, 4), "use_linear_projection": True}
    if family == "sdxl":
        extra |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 48,
            "transformer_layers_per_block": (1, 2),
        }
    attention_first = family != "sdxl"
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=width,
        down_block_types=(
            ("CrossAttnDownBlock2D", "DownBlock2D") if attention_first else ("DownBlock2D", "CrossAttnDownBlock2D")
        ),
        up_block_types=(
            ("UpBlock2D", "CrossAttnUpBlock2D") if attention_first else ("CrossAttnUpBlock2D", "UpBlock2D")
        ),
        **extra,
    )


def vae(family: str) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
        layers_per_block=1,
        sample_size=64,
        scaling_factor=0.13025 if family == "sdxl" else 0.18215,
    )


def text_encoders(family: str) -> list[tuple[str, Any, str]]:
    end = "<|endoftext|>"
    if family == "sdxl":
        second = CLIPTextModelWithProjection(text_config(48, "gelu", 0))
        return [
            ("text_encoder", CLIPTextModel(text_config(32, "quick_gelu", 49407)), end),
            ("text_encoder_2", second, "!"),
        ]
    if family == "sd2":
        return [("text_encoder", CLIPTextModel(text_config(40, "gelu", 0)), "!")]
    return [("text_encoder", CLIPTextModel(text_config(32, "quick_gelu", 49407)), end)]


def text_config(width: int, act: str, pad: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=width,
        hidden_act=act,
        vocab_size=49408,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=pad,
    )


def scheduler(family: str) -> Any:
    if family == "sd2":
        return DDIMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False)
    if family == "sdxl":
        return EulerDiscreteScheduler(**BETAS, timestep_spacing="leading")
    return PNDMScheduler(**BETAS, skip_prk_steps=True, set_alpha_to_one=False)
