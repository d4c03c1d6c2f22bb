"""The KL autoencoder: 64 px to 16 × 16 latents of 4 channels and back."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL
from torch import Tensor

EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-5


@dataclass(frozen=True)
class AutoencoderSize:
    channels: tuple[int, ...] = (32, 64, 128)
    latent_channels: int = 4
    groups: int = 8


def new_autoencoder(size: AutoencoderSize, picture_px: int) -> AutoencoderKL:
    levels = len(size.channels)
    return AutoencoderKL(
        block_out_channels=size.channels,
        latent_channels=size.latent_channels,
        norm_num_groups=size.groups,
        layers_per_block=1,
        mid_block_add_attention=False,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        sample_size=picture_px,
    )


@dataclass(frozen=True)
class AutoencoderLoss:
    autoencoder: AutoencoderKL
    pictures: Tensor
    """(N, H, W, 3) uint8"""
    batch_size: int

    def __call__(self, draw: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.pictures), (self.batch_size,), generator=draw)
        wanted = as_input(self.pictures[chosen])
        posterior = self.autoencoder.encode(wanted).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=draw)
        made = self.autoencoder.decode(posterior.mean + posterior.std * noise).sample
        return F.l1_loss(made, wanted) + EDGE_WEIGHT * edge_loss(made, wanted) + KL_WEIGHT * posterior.kl().mean()


def as_input(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def edge_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 between the horizontal and vertical differences of neighbours: blurred outlines cost what they look like."""
    across = F.l1_loss(made.diff(dim=3), wanted.diff(dim=3))
    return across + F.l1_loss(made.diff(dim=2), wanted.diff(dim=2))


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to unscaled latent means (B, C, h, w)."""
    return autoencoder.encode(as_input(pictures)).latent_dist.mean.contiguous()


@torch.no_grad()
def decode(autoencoder: AutoencoderKL, latents: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) to (B, H, W, 3) uint8."""
    made = autoencoder.decode(latents / autoencoder.config.scaling_factor).sample
    return made.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
