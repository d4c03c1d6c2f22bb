"""The samplers by the names users know.

Importing this module loads neither torch nor diffusers: forms read the list.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SamplerSpec:
    """`scheduler` is diffusers' class; `options` override the model's own scheduler configuration.

    Samplers with a `max_sigma` go astray on schedules that end in pure noise (cosine, zero terminal SNR), where
    sigma reaches thousands; there they start from this much noise, which hides a picture as well.
    """

    name: str
    scheduler: str
    summary: str
    options: dict[str, Any] = field(default_factory=dict)
    stochastic: bool = False
    evaluations: int = 1  # of the UNet in one step
    max_sigma: float | None = None

    @property
    def karras(self) -> bool:
        return bool(self.options.get("use_karras_sigmas"))


_KARRAS = {"use_karras_sigmas": True}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_ENOUGH_NOISE = 40.0  # Stable Diffusion's own schedule ends at 14.6

# What Stable Diffusion means where a model's configuration is silent; the classes' own defaults are for pixels.
_LATENT = {"clip_sample": False, "steps_offset": 1}

_SPECS = (
    SamplerSpec("DDIM", "DDIMScheduler", "Even steps, much the same picture at any number of them."),
    SamplerSpec("DDPM", "DDPMScheduler", "The original sampler; wants many steps.", stochastic=True),
    SamplerSpec("Euler", "EulerDiscreteScheduler", "Simple and fast."),
    SamplerSpec("Euler a", "EulerAncestralDiscreteScheduler", "Euler with fresh noise each step.", stochastic=True),
    SamplerSpec(
        "Heun",
        "HeunDiscreteScheduler",
        "Two evaluations a step: slower, finer.",
        evaluations=2,
        max_sigma=_ENOUGH_NOISE,
    ),
    SamplerSpec("LMS", "LMSDiscreteScheduler", "Linear multistep; wants 30 steps or more."),
    SamplerSpec("DPM2", "KDPM2DiscreteScheduler", "Second order, two evaluations a step.", evaluations=2),
    SamplerSpec(
        "DPM2 a",
        "KDPM2AncestralDiscreteScheduler",
        "DPM2 with fresh noise each step.",
        stochastic=True,
        evaluations=2,
        max_sigma=_ENOUGH_NOISE,
    ),
    SamplerSpec(
        "DPM++ 2S",
        "DPMSolverSinglestepScheduler",
        "Second order, one evaluation a step.",
        {"lower_order_final": True},
    ),
    SamplerSpec("DPM++ 2M", "DPMSolverMultistepScheduler", "A good picture in 20 steps."),
    SamplerSpec(
        "DPM++ 2M Karras",
        "DPMSolverMultistepScheduler",
        "DPM++ 2M with more of its steps at low noise.",
        _KARRAS,
        max_sigma=_ENOUGH_NOISE,
    ),
    SamplerSpec(
        "DPM++ 2M SDE",
        "DPMSolverMultistepScheduler",
        "DPM++ 2M with fresh noise each step.",
        _SDE,
        stochastic=True,
    ),
    SamplerSpec(
        "DPM++ 2M SDE Karras",
        "DPMSolverMultistepScheduler",
        "DPM++ 2M SDE with more of its steps at low noise.",
        _SDE | _KARRAS,
        stochastic=True,
        max_sigma=_ENOUGH_NOISE,
    ),
    SamplerSpec(
        "DPM++ SDE",
        "DPMSolverSDEScheduler",
        "Rich detail, two evaluations a step.",
        stochastic=True,
        evaluations=2,
    ),
    SamplerSpec(
        "DPM++ SDE Karras",
        "DPMSolverSDEScheduler",
        "DPM++ SDE with more of its steps at low noise.",
        _KARRAS,
        stochastic=True,
        evaluations=2,
        max_sigma=_ENOUGH_NOISE,
    ),
    SamplerSpec("UniPC", "UniPCMultistepScheduler", "Predictor and corrector; good from 10 steps."),
    SamplerSpec("DEIS", "DEISMultistepScheduler", "Exponential integrator; good from 10 steps."),
    SamplerSpec("PNDM", "PNDMScheduler", "What the first Stable Diffusion used.", {"skip_prk_steps": True}),
    SamplerSpec("LCM", "LCMScheduler", "For LCM models and LoRAs: 4 to 8 steps, guidance 1 to 2.", stochastic=True),
    SamplerSpec("TCD", "TCDScheduler", "For TCD and Hyper-SD models: 1 to 8 steps.", stochastic=True),
)
SAMPLERS: dict[str, SamplerSpec] = {spec.name: spec for spec in _SPECS}


def build_scheduler(name: str, model_config: dict[str, Any]) -> Any:
    """The sampler on the model's own noise schedule and prediction type.

    Raises KeyError for an unknown name.
    """
    import diffusers

    spec = SAMPLERS[name]
    cls = getattr(diffusers, spec.scheduler)
    known = set(inspect.signature(cls.__init__).parameters)
    config = {key: value for key, value in (_LATENT | model_config).items() if key in known}
    scheduler = cls.from_config(config | spec.options)
    if spec.max_sigma:
        _bound_noise(scheduler, spec.max_sigma)
    return scheduler


def _bound_noise(scheduler: Any, max_sigma: float) -> None:
    """Raises the share of signal a little everywhere rather than cutting: samplers look times up by noise."""
    least = 1 / (1 + max_sigma**2)
    if float(scheduler.alphas_cumprod[-1]) < least:
        scheduler.alphas_cumprod = scheduler.alphas_cumprod * (1 - least) + least


def step_arguments(scheduler: Any, generator: torch.Generator | list[torch.Generator]) -> dict[str, Any]:
    """What `scheduler.step` wants beside output, time and sample.

    Noise comes from the pictures' own generators.
    """
    accepted = set(inspect.signature(scheduler.step).parameters)
    arguments: dict[str, Any] = {"return_dict": False}
    if "generator" in accepted:
        arguments["generator"] = generator
    return arguments
