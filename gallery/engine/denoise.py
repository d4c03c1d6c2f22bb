"""The denoising loop: from noise, or from a noised picture, to finished latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from gallery.engine.embeddings import Embedding
from gallery.engine.models import LoadedModel
from gallery.engine.samplers import build_scheduler, step_arguments


@dataclass(frozen=True)
class Plan:
    width: int
    height: int
    steps: int
    guidance: float
    sampler: str
    strength: float = 1.0

    def guided(self, model: LoadedModel) -> bool:
        """Up to 1 the field understands guidance as off, and distilled models get it in another way.

        Then the negative prompt has no part, and a step costs half.
        """
        return self.guidance > 1 and model.unet.config.time_cond_proj_dim is None

    def steps_done(self, *, from_picture: bool) -> int:
        """Steps that are really computed.

        A start from a picture leaves out the first (1 - strength) of them.
        """
        if not from_picture or self.strength >= 1:
            return self.steps
        return max(1, int(self.steps * self.strength)) if self.strength > 0 else 0


# After each step: number of steps done, and a call that gives the latents as they would come out now.
OnStep = Callable[[int, Callable[[], torch.Tensor]], None]


def picture_noise(model: LoadedModel, plan: Plan, generators: list[torch.Generator]) -> torch.Tensor:
    """One draw of float32 noise per picture, each from its own generator on the CPU: no device changes it."""
    factor = model.vae_factor
    shape = (model.unet.config.in_channels, plan.height // factor, plan.width // factor)
    return draw(generators, shape).to(model.device.torch_device)


def draw(generators: list[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    return torch.cat([torch.randn((1, *shape), generator=generator) for generator in generators])


class Denoiser:
    """One batch of pictures of one job on its way through the steps."""

    def __init__(
        self, model: LoadedModel, plan: Plan, positive: Embedding, negative: Embedding | None, batch: int
    ) -> None:
        self.model = model
        self.plan = plan
        self.batch = batch
        halves = [positive] if negative is None else [negative, positive]
        self.halves = len(halves)
        self.arguments = _unet_arguments(model, plan, halves, batch)

    def run(self, generators: list[torch.Generator], start: torch.Tensor | None, on_step: OnStep) -> torch.Tensor:
        """Latents (batch, 4, h, w) from noise, or from `start` noised as far as the plan's strength asks."""
        noise = picture_noise(self.model, self.plan, generators)
        steps = self.plan.steps_done(from_picture=start is not None)
        if start is not None and steps == 0:
            return start
        scheduler = self._scheduler(generators, noise)
        times = self._times(scheduler, steps)
        latents = self._begin(scheduler, noise, start, times)
        arguments = step_arguments(scheduler, generators if len(generators) > 1 else generators[0])
        for call, time in enumerate(times, 1):
            prediction = self._predict(scheduler.scale_model_input(latents, time), time)
            output = scheduler.step(prediction, time, latents, **arguments)
            latents = output[0]
            on_step(-(-call * steps // len(times)), partial(_estimate, scheduler, output))
        return latents

    def _scheduler(self, generators: list[torch.Generator], noise: torch.Tensor) -> Any:
        scheduler = build_scheduler(self.plan.sampler, self.model.scheduler_config)
        scheduler.set_timesteps(self.plan.steps, device=self.model.device.torch_device)
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = BrownianNoise(generators, noise)
        return scheduler

    def _times(self, scheduler: Any, steps: int) -> torch.Tensor:
        """The last so many steps' times; the scheduler keeps them all, it counts from both ends."""
        first = (self.plan.steps - steps) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):  # else it looks for its place by time, and times may repeat
            scheduler.set_begin_index(first)
        times: torch.Tensor = scheduler.timesteps[first:]
        return times

    def _begin(
        self, scheduler: Any, noise: torch.Tensor, start: torch.Tensor | None, times: torch.Tensor
    ) -> torch.Tensor:
        if start is None or len(times) == len(scheduler.timesteps):
            return noise * float(scheduler.init_noise_sigma)
        noised: torch.Tensor = scheduler.add_noise(start, noise, times[:1].repeat(self.batch))
        return noised

    def _predict(self, sample: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        repeated = torch.cat([sample] * self.halves).to(self.model.device.dtype)
        output: torch.Tensor = self.model.unet(repeated, time, return_dict=False, **self.arguments)[0].float()
        if self.halves == 1:
            return output
        without, wanted = output.chunk(2)
        return without + (wanted - without) * self.plan.guidance


class BrownianNoise:
    """Noise for DPM++ SDE, which asks for a step's first half and then for the whole of it.

    The halves are independent draws and the whole is their sum, as on one Brownian path over sigma; each
    picture draws from its own generator, where the library's own noise would share one seed in a batch.
    """

    def __init__(self, generators: list[torch.Generator], like: torch.Tensor) -> None:
        self.generators = generators
        self.like = like
        self.half: tuple[float, float, torch.Tensor] | None = None

    def __call__(self, high: Any, low: Any) -> torch.Tensor:
        high, low = float(high), float(low)
        width = math.sqrt(abs(high - low))
        if self.half and self.half[0] == high and self.half[1] > low:
            middle, path = self.half[1], self.half[2]
            path = path + self._draw() * math.sqrt(abs(middle - low))
            self.half = None
        else:
            path = self._draw() * width
            self.half = (high, low, path)
        return path / width

    def _draw(self) -> torch.Tensor:
        return draw(self.generators, self.like.shape[1:]).to(self.like.device)


def _estimate(scheduler: Any, output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The finished latents as the sampler sees them now, where it says; else the latents of this step."""
    if len(output) > 1:
        return output[1]
    known = getattr(scheduler, "model_outputs", None)
    return known[-1] if known and known[-1] is not None else output[0]


def _unet_arguments(model: LoadedModel, plan: Plan, halves: list[Embedding], batch: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "encoder_hidden_states": torch.cat([half.hidden.expand(batch, -1, -1) for half in halves])
    }
    if width := model.unet.config.time_cond_proj_dim:
        arguments["timestep_cond"] = _guidance_embedding(plan.guidance, width).expand(batch, -1).to(model.unet.device)
    if model.is_sdxl:
        sizes = [plan.height, plan.width, 0, 0, plan.height, plan.width]  # original size, crop, target size
        pooled = torch.cat([half.pooled.expand(batch, -1) for half in halves if half.pooled is not None])
        times = torch.tensor([sizes], device=pooled.device, dtype=pooled.dtype).expand(len(pooled), -1)
        arguments["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": times}
    return arguments


def _guidance_embedding(guidance: float, width: int) -> torch.Tensor:
    """What distilled models (LCM) get told of the guidance: sines and cosines of 1000 (guidance - 1)."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 2) / (width // 2 - 1))
    angles = 1000 * (guidance - 1) * frequencies
    return torch.cat([angles.sin(), angles.cos()])[None]
