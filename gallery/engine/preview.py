"""Small pictures of unfinished latents, by one linear map instead of the autoencoder."""

from __future__ import annotations

import base64
import io
from typing import Any

import torch
from PIL import Image

from gallery.engine.autoencoder import encode_picture
from gallery.engine.models import LoadedModel

MAX_SIDE = 256

# Red, green and blue per latent channel, for RGB in -1..1: the factors published with ComfyUI and InvokeAI.
_SD = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
)
_SDXL = (
    (0.3651, 0.4232, 0.4341),
    (-0.2533, -0.0042, 0.1068),
    (0.1076, 0.1111, -0.0362),
    (-0.3165, -0.2492, -0.2188),
)
_SDXL_BIAS = (0.1084, -0.0175, -0.0011)


class Previewer:
    """Latents (1, 4, h, w) to a small JPEG."""

    def __init__(self, model: LoadedModel) -> None:
        self.factor = model.vae_factor
        self.matrix, self.bias = linear_map(model)

    def jpeg(self, latents: torch.Tensor) -> str:
        """Base64; the finished picture's size, at most 256 px a side."""
        values = torch.einsum("chw,cr->hwr", latents[0].float().cpu(), self.matrix) + self.bias
        pixels = ((values + 1) * 127.5).clamp(0, 255).to(torch.uint8).contiguous()
        height, width = pixels.shape[:2]
        picture = Image.frombytes("RGB", (width, height), bytes(pixels.numpy().data))
        scale = min(self.factor, MAX_SIDE / max(width, height))
        picture = picture.resize(
            (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC
        )
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        return base64.b64encode(buffer.getvalue()).decode("ascii")


def linear_map(model: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """The (4, 3) matrix and (3,) bias; known for the common autoencoders, fitted to any other one."""
    config: Any = model.vae.config
    if tuple(config.block_out_channels) == (128, 256, 512, 512):
        if abs(config.scaling_factor - 0.18215) < 1e-4:
            return torch.tensor(_SD), torch.zeros(3)
        if abs(config.scaling_factor - 0.13025) < 1e-4:
            return torch.tensor(_SDXL), torch.tensor(_SDXL_BIAS)
    return _fit(model)


def _fit(model: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Least squares between the latents and the colours of random patchworks that the autoencoder encodes."""
    generator = torch.Generator().manual_seed(0)
    sources, targets = [], []
    for cells in (1, 2, 4) * 4:
        picture = _patchwork(cells, generator)
        latents = encode_picture(model, picture)[0].cpu()
        small = picture.resize((latents.shape[2], latents.shape[1]), Image.Resampling.BOX)
        sources.append(latents.flatten(1).T)
        targets.append(torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(-1, 3) / 127.5 - 1)
    source = torch.cat(sources)
    known = torch.cat([source, torch.ones(len(source), 1)], dim=1)
    # The normal equations with a touch of ridge: an untrained autoencoder's channels may depend on each other.
    gram = known.T @ known + 1e-3 * torch.eye(known.shape[1])
    solution = torch.linalg.solve(gram, known.T @ torch.cat(targets))
    return solution[:-1], solution[-1]


def _patchwork(cells: int, generator: torch.Generator) -> Image.Image:
    """Half of its colours are pure and a third white, or bright and dark would both come out grey."""
    colours = torch.rand((cells * cells, 3), generator=generator)
    pure = torch.rand((cells * cells, 1), generator=generator) < 0.5
    colours = torch.where(pure, colours.round(), colours)
    colours[torch.rand(cells * cells, generator=generator) < 0.3] = 1
    pixels = (colours * 255).to(torch.uint8).numpy()
    return Image.frombytes("RGB", (cells, cells), pixels.tobytes()).resize((64, 64), Image.Resampling.NEAREST)
