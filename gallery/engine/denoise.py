"""The denoising loop: from noise, or from a noised picture, to latents, and between latents and pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from gallery.engine.embeddings import Embedding
from gallery.engine.models import LoadedModel
from gallery.engine.samplers import build_scheduler, step_arguments

TILE_ABOVE = 1536 * 1536  # pixels: from here the autoencoder works in tiles, or a 2048 px picture needs 20 GB


@dataclass(frozen=True)
class Plan:
    width: int
    height: int
    steps: int
    guidance: float
    sampler: str
    strength: float = 1.0

    @property
    def guided(self) -> bool:
        """Up to 1 the field understands guidance as off: the negative prompt is not computed."""
        return self.guidance > 1

    def steps_done(self, *, from_picture: bool) -> int:
        """Steps that are really computed; a start from a picture leaves out the first (1 - strength) of them."""
        if not from_picture or self.strength >= 1:
            return self.steps
        return max(1, int(self.steps * self.strength)) if self.strength > 0 else 0


# After each step: number of steps done, and a call that gives the latents as they would come out now.
OnStep = Callable[[int, Callable[[], torch.Tensor]], None]


def picture_noise(model: LoadedModel, plan: Plan, generators: list[torch.Generator]) -> torch.Tensor:
    """One draw of float32 noise per picture, each from its own generator on the CPU: no device changes it."""
    factor = model.vae_factor
    shape = (1, model.unet.config.in_channels, plan.height // factor, plan.width // factor)
    draws = [torch.randn(shape, generator=generator) for generator in generators]
    return torch.cat(draws).to(model.device.torch_device)


class Denoiser:
    """One batch of pictures of one job on its way through the steps."""

    def __init__(
        self, model: LoadedModel, plan: Plan, positive: Embedding, negative: Embedding | None, batch: int
    ) -> None:
        self.model = model
        self.plan = plan
        self.batch = batch
        halves = [positive] if negative is None else [negative, positive]
        self.guided = negative is not None
        self.arguments = _unet_arguments(model, plan, halves, batch)

    def run(
        self, generators: list[torch.Generator], start: torch.Tensor | None, on_step: OnStep
    ) -> torch.Tensor:
        """Latents (batch, 4, h, w) from noise, or from `start` noised as far as the plan's strength asks."""
        noise = picture_noise(self.model, self.plan, generators)
        steps = self.plan.steps_done(from_picture=start is not None)
        if start is not None and steps == 0:
            return start
        scheduler = self._scheduler(generators)
        latents = self._begin(scheduler, noise, start, steps)
        for done, latents, estimate in self._steps(scheduler, latents, generators, steps):
            on_step(done, estimate)
        return latents

    def _scheduler(self, generators: list[torch.Generator]) -> Any:
        scheduler = build_scheduler(self.plan.sampler, self.model.scheduler_config)
        scheduler.set_timesteps(self.plan.steps, device=self.model.device.torch_device)
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = BrownianNoise(generators)
        return scheduler

    def _begin(
        self, scheduler: Any, noise: torch.Tensor, start: torch.Tensor | None, steps: int
    ) -> torch.Tensor:
        if start is None or steps == self.plan.steps:
            return noise * scheduler.init_noise_sigma
        first = (self.plan.steps - steps) * scheduler.order
        scheduler.timesteps = scheduler.timesteps[first:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        return scheduler.add_noise(start, noise, scheduler.timesteps[:1].repeat(self.batch))

    def _steps(
        self, scheduler: Any, latents: torch.Tensor, generators: list[torch.Generator], steps: int
    ) -> Iterator[tuple[int, torch.Tensor, Callable[[], torch.Tensor]]]:
        arguments = step_arguments(scheduler, generators if len(generators) > 1 else generators[0])
        calls = len(scheduler.timesteps)
        for call, time in enumerate(scheduler.timesteps, 1):
            prediction = self._predict(scheduler.scale_model_input(latents, time), time)
            output = scheduler.step(prediction, time, latents, **arguments)
            latents = output[0]
            yield -(-call * steps // calls), latents, lambda output=output: _estimate(scheduler, output)

    def _predict(self, sample: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        doubled = torch.cat([sample, sample]) if self.guided else sample
        output = self.model.unet(doubled.to(self.model.device.dtype), time, return_dict=False, **self.arguments)[0]
        if not self.guided:
            return output.float()
        without, wanted = output.float().chunk(2)
        return without + self.plan.guidance * (wanted - without)


class BrownianNoise:
    """Noise for DPM++ SDE, which asks for a step's first half and then for the whole of it.

    The halves are independent draws and the whole is their sum, as on one Brownian path over sigma; each picture
    draws from its own generator, where the library's own noise would share one seed in a batch.
    """

    def __init__(self, generators: list[torch.Generator]) -> None:
        self.generators = generators
        self.shape: tuple[int, ...] = ()
        self.half: tuple[float, float, torch.Tensor] | None = None

    def __call__(self, high: Any, low: Any) -> torch.Tensor:
        high, low = float(high), float(low)
        if self.half and self.half[0] == high and self.half[1] > low:
            middle, path = self.half[1], self.half[2]
            path = path + self._draw() * abs(middle - low) ** 0.5
            self.half = None
        else:
            path = self._draw() * abs(high - low) ** 0.5
            self.half = (high, low, path)
        return path / abs(high - low) ** 0.5

    def _draw(self) -> torch.Tensor:
        return torch.cat([torch.randn(self.shape, generator=generator) for generator in self.generators])


def _estimate(scheduler: Any, output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The finished latents as the sampler sees them now, where it says; else the latents of this step."""
    if len(output) > 1:
        return output[1]
    known = getattr(scheduler, "model_outputs", None)
    if known and known[-1] is not None and getattr(scheduler, "predict_x0", True):
        return known[-1]
    return output[0]


def _unet_arguments(model: LoadedModel, plan: Plan, halves: list[Embedding], batch: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "encoder_hidden_states": torch.cat([half.hidden.expand(batch, -1, -1) for half in halves])
    }
    if model.is_sdxl:
        sizes = [plan.height, plan.width, 0, 0, plan.height, plan.width]  # original size, crop, target size
        pooled = torch.cat([half.pooled.expand(batch, -1) for half in halves if half.pooled is not None])
        times = torch.tensor([sizes], device=pooled.device, dtype=pooled.dtype).expand(len(pooled), -1)
        arguments["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": times}
    return arguments


def encode_picture(model: LoadedModel, picture: Image.Image) -> torch.Tensor:
    """Latents (1, 4, h, w) of an RGB picture: the mean of the autoencoder's distribution, so no seed is in it."""
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


def _statistics(vae: Any) -> tuple[Any, Any]:
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or std is None:
        return 0.0, 1.0
    return torch.tensor(mean, device=vae.device).view(1, -1, 1, 1), torch.tensor(std, device=vae.device).view(1, -1, 1, 1)


def _normalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    mean, std = _statistics(vae)
    return (latents - (vae.config.shift_factor or 0.0) - mean) / std * vae.config.scaling_factor


def _denormalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    mean, std = _statistics(vae)
    return latents * std / vae.config.scaling_factor + mean + (vae.config.shift_factor or 0.0)
