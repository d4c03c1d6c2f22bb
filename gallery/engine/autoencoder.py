"""Between pictures and latents."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from gallery.engine.models import LoadedModel

TILE_ABOVE = 1536 * 1536  # pixels: from here the autoencoder works in tiles, or a 2048 px picture needs 20 GB


def encode_picture(model: LoadedModel, picture: Image.Image) -> torch.Tensor:
    """Latents (1, 4, h, w) of an RGB picture: the mean of the autoencoder's distribution, so no
    seed is in it.
    """
    vae = model.vae
    _tile(vae, picture.width * picture.height)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    pixels = pixels.view(1, picture.height, picture.width, 3).permute(0, 3, 1, 2)
    values = pixels.to(vae.device, vae.dtype) / 127.5 - 1
    return _normalise(vae, vae.encode(values).latent_dist.mode().float())


def decode_latents(model: LoadedModel, latents: torch.Tensor) -> Image.Image:
    """The picture of one latent (1, 4, h, w)."""
    vae = model.vae
    values = _denormalise(vae, latents).to(vae.dtype)
    _tile(vae, values.shape[-1] * values.shape[-2] * model.vae_factor**2)
    pixels = vae.decode(values, return_dict=False)[0]
    pixels = (pixels[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    height, width = pixels.shape[1:]
    return Image.frombytes("RGB", (width, height), bytes(pixels.permute(1, 2, 0).contiguous().cpu().numpy().data))


def _tile(vae: Any, pixels: int) -> None:
    if pixels > TILE_ABOVE:
        vae.enable_tiling()
    else:
        vae.disable_tiling()


def _statistics(vae: Any) -> tuple[Any, ...]:
    """Mean and deviation per channel, of the few autoencoders that state them."""
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or std is None:
        return 0.0, 1.0
    return tuple(torch.tensor(values, device=vae.device).view(1, -1, 1, 1) for values in (mean, std))


def _normalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    mean, std = _statistics(vae)
    scaled: torch.Tensor = (latents - (vae.config.shift_factor or 0.0) - mean) / std * vae.config.scaling_factor
    return scaled


def _denormalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    mean, std = _statistics(vae)
    plain: torch.Tensor = latents * std / vae.config.scaling_factor + mean + (vae.config.shift_factor or 0.0)
    return plain
