"""Does the starter model learn? Teaches the held-out style to a LoRA and draws the same prompts with and without it."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn

from training.starter.autoencoder import encode
from training.starter.cli import keep_memory
from training.starter.evaluate import Drawer, Request, ask_for_things, contact_sheet
from training.starter.heldout import STYLE_WORDS, render_held_out
from training.starter.loop import Plan, train
from training.starter.retrieval import lab
from training.starter.things import Thing, read_things

RANK = 8
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]
EXAMPLES = 40
BATCH = 16
EMPTY_SHARE = 0.1
PLAN = Plan(steps=4000, learning_rate=2e-3, minutes=2.5, average=0.99, save_seconds=3600.0)


@dataclass(frozen=True)
class Lesson:
    latents: Tensor
    """(N, C, h, w), scaled"""
    states: Tensor
    """(N, tokens, width): the captions as the text encoder says them"""
    empty: Tensor
    """(tokens, width)"""


@dataclass(frozen=True)
class Taught:
    seconds: float
    colour_without: float
    """Mean chroma (L*a*b*) of the pictures without the LoRA; the held-out style has none."""
    colour_with: float


@torch.no_grad()
def read_lesson(pipeline: Any, pictures: Sequence[Path]) -> Lesson:
    """Pictures of the model's own size with NAME.txt beside each."""
    stack = torch.from_numpy(np.stack([np.asarray(Image.open(path).convert("RGB")) for path in pictures]))
    captions = [path.with_suffix(".txt").read_text().strip() for path in pictures]
    latents = encode(pipeline.vae, stack) * pipeline.vae.config.scaling_factor
    states = _say(pipeline, [*captions, ""])
    return Lesson(latents, states[:-1], states[-1])


def _say(pipeline: Any, captions: Sequence[str]) -> Tensor:
    ids = pipeline.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids
    states: Tensor = pipeline.text_encoder(ids).last_hidden_state
    return states


def teach(pipeline: Any, lesson: Lesson, plan: Plan, checkpoint: Path) -> None:
    """Adds a LoRA to the pipeline's UNet and trains it; the model itself stays as it is."""
    from peft import LoraConfig

    unet, scheduler = pipeline.unet, pipeline.scheduler
    unet.requires_grad_(False)
    torch.manual_seed(plan.seed)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS))
    steps = scheduler.config.num_train_timesteps

    def batch(draw: torch.Generator) -> Tensor:
        chosen = torch.randint(len(lesson.latents), (BATCH,), generator=draw)
        latents = lesson.latents[chosen]
        told = torch.rand(BATCH, generator=draw) >= EMPTY_SHARE
        states = torch.where(told[:, None, None], lesson.states[chosen], lesson.empty)
        noise = torch.randn(latents.shape, generator=draw)
        times = torch.randint(steps, (BATCH,), generator=draw)
        said = unet(scheduler.add_noise(latents, noise, times), times, states, return_dict=False)[0]
        return F.mse_loss(said.float(), scheduler.get_velocity(latents, noise, times))

    learned = nn.ParameterList(value for value in unet.parameters() if value.requires_grad)
    train({"lora": learned}, batch, plan, checkpoint, _silent)


def _silent(done: int, total: int, message: str) -> None:
    pass


def in_style(request: Request) -> Request:
    return replace(request, prompt=f"{request.subject.thing.name}, {STYLE_WORDS}")


def unseen_things(things: Sequence[Thing], pictures: Sequence[Path]) -> list[Thing]:
    """Things that the lesson didn't show: what they look like in the style has to be understood, not remembered."""
    shown = {path.stem for path in pictures}
    return [thing for thing in things if thing.code not in shown]


def mean_chroma(pictures: npt.NDArray[np.uint8]) -> float:
    colours = lab(pictures)
    return float(np.hypot(colours[..., 1], colours[..., 2]).mean())


def demonstrate(model: Path, work: Path, folder: Path, plan: Plan = PLAN) -> tuple[Taught, Image.Image]:
    """Writes the LoRA into `folder`; the sheet has rows of pictures without it above the same with it."""
    pictures = render_held_out(work, folder / "pictures", EXAMPLES)
    drawer = Drawer(model)
    started = time.monotonic()
    lesson = read_lesson(drawer.pipeline, pictures)
    things = unseen_things(read_things(next((work / "packages").glob("emojibase-data-*"))), pictures)
    requests = [in_style(request) for request in ask_for_things(things, 16)]
    without = drawer.draw_all(requests)
    teach(drawer.pipeline, lesson, plan, folder / "lora.pt")
    seconds = time.monotonic() - started
    with_lora = drawer.draw_all(requests)
    drawer.pipeline.unet.save_lora_adapter(folder, weight_name="held-out-style.safetensors")
    taught = Taught(round(seconds, 1), round(mean_chroma(without), 1), round(mean_chroma(with_lora), 1))
    return taught, contact_sheet(np.concatenate([without, with_lora]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.starter.style", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/starter"))
    parser.add_argument("--work-dir", type=Path, default=Path("var/starter"))
    parser.add_argument("--out", type=Path, default=Path("var/starter/style"), help="pictures, LoRA and sheet")
    parser.add_argument("--minutes", type=float, default=PLAN.minutes, help="time to train (default 2.5)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    options = parser.parse_args(arguments)
    keep_memory()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    taught, sheet = demonstrate(options.model, options.work_dir, options.out, replace(PLAN, minutes=options.minutes))
    sheet.save(options.out / "sheet.png")
    sys.stdout.write(
        f"{taught.seconds} s; mean chroma {taught.colour_without} without the LoRA, {taught.colour_with} with it; "
        f"the sheet is {options.out / 'sheet.png'}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
