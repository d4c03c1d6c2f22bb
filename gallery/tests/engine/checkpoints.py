"""Writes a loaded model as one file with the names of the original code, as downloads from model sites come."""

import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from gallery.engine.unet_names import ldm_name, ldm_prefixes

State = dict[str, torch.Tensor]


def write_checkpoint(model, path: Path, metadata=None, extra: State | None = None) -> Path:
    state = {f"model.diffusion_model.{key}": value for key, value in _unet(model.unet).items()}
    state |= {f"first_stage_model.{key}": value for key, value in _vae(model.vae).items()}
    state |= _text(model) | (extra or {})
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path, metadata)
    return path


def _unet(unet) -> State:
    prefixes = ldm_prefixes(unet.config)
    return {ldm_name(key, prefixes): value for key, value in unet.state_dict().items()}


_VAE = (
    (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"conv_norm_out", "norm_out"),
    (r"attn_1\.group_norm", "attn_1.norm"),
    (r"attn_1\.to_out\.0", "attn_1.proj_out"),
    (r"attn_1\.to_([qkv])", r"attn_1.\1"),
)


def _vae(vae) -> State:
    last = len(vae.config.block_out_channels) - 1
    state = {}
    for key, value in vae.state_dict().items():
        name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{last - int(m[1])}.block.{m[2]}", key)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name)
        for pattern, new in _VAE:
            name = re.sub(pattern, new, name)
        convolution = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name)
        state[name] = value[:, :, None, None] if convolution else value
    return state


def _text(model) -> State:
    if model.spec.family == "sd1":
        return _clip(model.text_encoders[0], "cond_stage_model.transformer.")
    if model.spec.family == "sd2":
        return _open_clip(model.text_encoders[0], "cond_stage_model.model.")
    first = _clip(model.text_encoders[0], "conditioner.embedders.0.transformer.")
    return first | _open_clip(model.text_encoders[1], "conditioner.embedders.1.model.")


def _plain(encoder) -> State:
    return {key.removeprefix("text_model."): value for key, value in encoder.state_dict().items()}


def _clip(encoder, prefix: str) -> State:
    return {f"{prefix}text_model.{key}": value for key, value in _plain(encoder).items()}


_OPEN_CLIP = (
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn", "attn"),
    ("embeddings.token_embedding", "token_embedding"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"),
)


def _open_clip(encoder, prefix: str) -> State:
    plain = _plain(encoder)
    state = {}
    for key, value in plain.items():
        name = key
        for new, old in _OPEN_CLIP:
            name = name.replace(new, old)
        if match := re.search(r"^(.*attn\.)q_proj\.(weight|bias)$", name):
            parts = [plain[key.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            state[f"{prefix}{match[1]}in_proj_{match[2]}"] = torch.cat(parts)
        elif name == "text_projection.weight":
            state[f"{prefix}text_projection"] = value.T
        elif not re.search(r"attn\.[kv]_proj\.", name):
            state[prefix + name] = value
    return state
