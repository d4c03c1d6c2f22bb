"""The UNet: v-prediction on the latents, while the text encoder slowly goes on learning beside it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from training.starter.text_encoder import TextLoss

EMPTY_SHARE = 0.1
"""Captions replaced by the empty one, for classifier-free guidance (Ho and Salimans 2022)."""

TEXT_WEIGHT = 0.1
"""Of the text encoder's own loss, which keeps the meaning of its tokens from drifting away."""
TEXT_RATE = 0.2
"""The text encoder's learning rate in this stage, as a share of the UNet's."""
NOISE_SKEW = 0.7
"""Times are drawn as u ** 0.7: two in three above the middle of the schedule, where it is decided what is shown."""


@dataclass(frozen=True)
class UNetSize:
    channels: tuple[int, ...] = (96, 192, 256)
    heads: int = 8
    groups: int = 16


def new_unet(size: UNetSize, *, latent_channels: int, latent_px: int, text_width: int) -> UNet2DConditionModel:
    """Attention where it is cheap: below the first level, and in the middle."""
    levels = len(size.channels)
    attended = [0 < level < levels - 1 for level in range(levels)]
    return UNet2DConditionModel(
        sample_size=latent_px,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=size.channels,
        layers_per_block=1,
        down_block_types=tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in attended),
        up_block_types=tuple("CrossAttnUpBlock2D" if on else "UpBlock2D" for on in reversed(attended)),
        cross_attention_dim=text_width,
        attention_head_dim=size.heads,
        norm_num_groups=size.groups,
    )


def new_scheduler() -> DDIMScheduler:
    """Cosine noise (Nichol and Dhariwal 2021) that ends in pure noise, and sampling that starts there ("trailing")."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def choose(count: int, size: int, draw: torch.Generator) -> Tensor:
    """Indices of pictures; three in four stand on white, which is what a prompt without a colour asks for.

    Pictures on white and on colours take turns in the plan.
    """
    chosen = torch.randint(count, (size,), generator=draw)
    return torch.where(torch.rand(size, generator=draw) < 0.5, chosen - chosen % 2, chosen)


@dataclass(frozen=True)
class UNetLoss:
    unet: UNet2DConditionModel
    text: TextLoss
    scheduler: DDIMScheduler
    latents: Tensor
    """(N, C, H, W)"""
    tokens: Tensor
    """(N, captions, length)"""
    empty: Tensor
    """(length)"""
    batch_size: int

    def __call__(self, draw: torch.Generator) -> Tensor:
        chosen = choose(len(self.latents), self.batch_size, draw)
        latents = self.latents[chosen].float()
        tokens, told = self.draw_captions(chosen, draw)
        states = self.text.encoder(tokens).last_hidden_state
        kept = self.text.of_states(states[told], tokens[told], latents[told])
        return self.denoising(latents, states, draw) + TEXT_WEIGHT * kept

    def denoising(self, latents: Tensor, states: Tensor, draw: torch.Generator) -> Tensor:
        noise = torch.randn(latents.shape, generator=draw)
        times = self.stratified_times(draw)
        noisy = self.scheduler.add_noise(latents, noise, times)
        said = self.unet(noisy, times, states, return_dict=False)[0]
        return F.mse_loss(said, self.scheduler.get_velocity(latents, noise, times))

    def draw_captions(self, chosen: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Tokens (B, length) for the chosen pictures, and which rows (B) were left their caption."""
        which = torch.randint(self.tokens.shape[1], chosen.shape, generator=draw)
        told = torch.rand(chosen.shape, generator=draw) >= EMPTY_SHARE
        return torch.where(told[:, None], self.tokens[chosen, which], self.empty), told

    def stratified_times(self, draw: torch.Generator) -> Tensor:
        """One time from each of `batch_size` equally likely parts of the schedule: calmer than free draws."""
        parts = torch.arange(self.batch_size) + torch.rand(self.batch_size, generator=draw)
        shares = (parts / self.batch_size) ** NOISE_SKEW
        steps = self.scheduler.config.num_train_timesteps
        return (shares * steps).long().clamp(max=steps - 1)
