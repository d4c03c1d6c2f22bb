"""The baselines, each in a process of its own: plain diffusers, as its documentation shows it.

`python -m tests.bench.plain loop MODEL PICTURES STEPS OUT` and `… reload MODEL STEPS OUT LORA…`; prints seconds.
"""

import sys
import time
from pathlib import Path
from typing import Any

PROMPT = "red apple, 3d style"
GUIDANCE = 4.0


def load(model: str) -> Any:
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        model, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, seed: int, steps: int, side: int, out: Path) -> None:
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    picture = pipeline(
        PROMPT, num_inference_steps=steps, guidance_scale=GUIDANCE, generator=generator, width=side, height=side
    ).images[0]
    picture.save(out / f"plain-{seed}.png")


def loop(model: str, pictures: int, steps: int, side: int, out: Path) -> float:
    """One pipeline, warmed by one picture, then `pictures` of them."""
    pipeline = load(model)
    draw(pipeline, 1000, steps, side, out)
    started = time.perf_counter()
    for seed in range(pictures):
        draw(pipeline, seed, steps, side, out)
    return time.perf_counter() - started


def reload(model: str, steps: int, side: int, out: Path, loras: list[str]) -> float:
    """A picture per entry of `loras`; at each change the pipeline is loaded anew."""
    draw(load(model), 1000, steps, side, out)
    started = time.perf_counter()
    pipeline, loaded = None, None
    for seed, lora in enumerate(loras):
        if lora != loaded:
            pipeline = load(model)
            pipeline.load_lora_weights(lora)
            loaded = lora
        draw(pipeline, seed, steps, side, out)
    return time.perf_counter() - started


def main() -> None:
    what, model, steps, side, out, *rest = sys.argv[1:]
    if what == "loop":
        seconds = loop(model, int(rest[0]), int(steps), int(side), Path(out))
    else:
        seconds = reload(model, int(steps), int(side), Path(out), rest)
    print(seconds)


if __name__ == "__main__":
    main()
