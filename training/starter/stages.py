"""The stages of a build, in order. Each reads what earlier ones left in the work folder and may be started again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from training.starter.autoencoder import AutoencoderLoss, encode, new_autoencoder
from training.starter.catalogue import Sources, fetch_sources, load_catalogue
from training.starter.evaluate import Drawer, as_table, evaluate
from training.starter.loop import Report, save_atomically, train
from training.starter.recipe import Build
from training.starter.render import PICTURE_PX, SEED, Sample, plan_samples, render_samples
from training.starter.text_encoder import (
    COMPONENTS,
    TOKENS,
    Heads,
    TextLoss,
    fit_heads,
    new_text_encoder,
    principal_components,
    regions,
    without_placement,
)
from training.starter.tokenizer import load_tokenizer, train_tokenizer
from training.starter.unet import TEXT_RATE, UNetLoss, choose, new_scheduler, new_unet

LATENT_BATCH = 64
FITTED = 8000
"""Latents that the principal components are found from."""


def fetch(build: Build, report: Report) -> None:
    sources = fetch_sources(build.work)
    report("fetch", 1, 1, f"{len(sources.things)} things in {len(sources.artworks)} styles")


def planned(build: Build, sources: Sources) -> list[Sample]:
    return plan_samples(sources.things, copies=build.recipe.copies, captions=build.recipe.captions)


def render(build: Build, report: Report) -> None:
    sources = fetch_sources(build.work)
    samples = planned(build, sources)
    unfinished = build.pictures.with_suffix(".partial")
    shape = (len(samples), PICTURE_PX, PICTURE_PX, 3)
    pictures = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)  # type: ignore[no-untyped-call]
    for index, picture in enumerate(render_samples(samples, sources.artworks)):
        pictures[index] = picture
        report("render", index + 1, len(samples), "pictures")
    pictures.flush()
    unfinished.rename(build.pictures)


def autoencoder(build: Build, report: Report) -> None:
    recipe = build.recipe
    if build.start:
        model = AutoencoderKL.from_pretrained(build.start / "vae", dtype=torch.float32)
    else:
        model = new_autoencoder(recipe.autoencoder_size, PICTURE_PX)
    model.to(memory_format=torch.channels_last)
    pictures = torch.from_numpy(np.load(build.pictures, mmap_mode="c"))
    loss = AutoencoderLoss(model, pictures, recipe.batch_sizes["autoencoder"])
    plan = recipe.plans["autoencoder"]
    train({"vae": model}, loss, plan, build.checkpoint("autoencoder"), partial(report, "autoencoder"))
    scale_to_unit_variance(model, pictures)
    model.save_pretrained(build.part("vae"))


def scale_to_unit_variance(model: AutoencoderKL, pictures: Tensor) -> None:
    spread = encode(model, pictures[:: max(1, len(pictures) // 512)]).std()
    model.register_to_config(scaling_factor=float(1 / spread))


def tokenizer(build: Build, report: Report) -> None:
    samples = planned(build, fetch_sources(build.work))
    captions = [caption for sample in samples for caption in sample.captions]
    if build.start:
        made = load_tokenizer(build.start / "tokenizer")
        made.save_pretrained(build.part("tokenizer"))
    else:
        vocabulary = build.recipe.vocabulary
        made = train_tokenizer(captions, vocabulary=vocabulary, length=TOKENS, folder=build.part("tokenizer"))
    tokens = {"captions": tokenize(made, captions).view(len(samples), -1, TOKENS), "empty": tokenize(made, [""])[0]}
    save_atomically(tokens, build.tokens)
    report("tokenizer", 1, 1, f"{len(made)} tokens, {len(captions)} captions")


def tokenize(made: Any, captions: Sequence[str]) -> Tensor:
    encoded = made(captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def latents(build: Build, report: Report) -> None:
    model = AutoencoderKL.from_pretrained(build.part("vae")).to(memory_format=torch.channels_last)
    pictures = torch.from_numpy(np.load(build.pictures, mmap_mode="c"))
    parts = []
    for start in range(0, len(pictures), LATENT_BATCH):
        found = encode(model, pictures[start : start + LATENT_BATCH]) * model.config.scaling_factor
        parts.append(found.half().numpy())
        report("latents", min(start + LATENT_BATCH, len(pictures)), len(pictures), "pictures")
    unfinished = build.work / ".latents.partial.npy"
    np.save(unfinished, np.concatenate(parts))
    unfinished.rename(build.latents)


def text_encoder(build: Build, report: Report) -> None:
    recipe = build.recipe
    found, captions = load_latents(build).float(), load_tokens(build)["captions"]
    if build.start:
        model = CLIPTextModel.from_pretrained(build.start / "text_encoder", dtype=torch.float32)
    else:
        model = new_text_encoder(len(load_tokenizer(build.part("tokenizer"))), recipe.text_size)
    measure = text_loss(model, found)
    if build.start:
        sample = slice(None, None, max(1, len(found) // FITTED))
        fit_heads(measure, captions[sample, 0], found[sample])
    wanted = without_placement(found, recipe.copies)
    size = recipe.batch_sizes["text-encoder"]

    def batch(draw: torch.Generator) -> Tensor:
        chosen = choose(len(wanted), size, draw)
        which = torch.randint(captions.shape[1], (size,), generator=draw)
        return measure(captions[chosen, which], wanted[chosen])

    modules = {"text_encoder": model, "heads": measure.heads}
    plan = recipe.plans["text-encoder"]
    train(modules, batch, plan, build.checkpoint("text-encoder"), partial(report, "text-encoder"))
    model.save_pretrained(build.part("first_text_encoder"))
    save_atomically(measure.heads.state_dict(), build.heads)


def text_loss(model: CLIPTextModel, found: Tensor) -> TextLoss:
    mean, basis = principal_components(found[:: max(1, len(found) // FITTED)], COMPONENTS)
    return TextLoss(model, Heads(model.config.hidden_size, basis.shape[1], regions(found[:1]).shape[2]), mean, basis)


def unet(build: Build, report: Report) -> None:
    recipe, tokens, found = build.recipe, load_tokens(build), load_latents(build)
    text = text_loss(CLIPTextModel.from_pretrained(build.part("first_text_encoder")), found.float())
    text.heads.load_state_dict(torch.load(build.heads, weights_only=True))
    if build.start:
        model = UNet2DConditionModel.from_pretrained(build.start / "unet", dtype=torch.float32)
    else:
        channels, side = found.shape[1], found.shape[3]
        width = text.encoder.config.hidden_size
        model = new_unet(recipe.unet_size, latent_channels=channels, latent_px=side, text_width=width)
    loss = UNetLoss(
        model, text, new_scheduler(), found, tokens["captions"], tokens["empty"], recipe.batch_sizes["unet"]
    )
    modules = {"unet": model, "text_encoder": text.encoder, "heads": text.heads}
    rates = {"text_encoder": TEXT_RATE, "heads": TEXT_RATE}
    train(modules, loss, recipe.plans["unet"], build.checkpoint("unet"), partial(report, "unet"), rates=rates)
    model.save_pretrained(build.part("unet"))
    text.encoder.save_pretrained(build.part("text_encoder"))


def load_tokens(build: Build) -> dict[str, Tensor]:
    return dict(torch.load(build.tokens, weights_only=True))


def load_latents(build: Build) -> Tensor:
    return torch.from_numpy(np.load(build.latents))


def assemble(build: Build, report: Report) -> None:
    """The parts as one fp16 pipeline in `out`; the model card and imagineer.json beside them are not touched."""
    half = torch.float16
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(build.part("vae"), dtype=half),
        text_encoder=CLIPTextModel.from_pretrained(build.part("text_encoder"), dtype=half),
        tokenizer=load_tokenizer(build.part("tokenizer")),
        unet=UNet2DConditionModel.from_pretrained(build.part("unet"), dtype=half),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(build.out, safe_serialization=True)
    forget_origins(build.out)
    report("assemble", 1, 1, f"{sum(file.stat().st_size for file in build.out.rglob('*.safetensors')) / 1e6:.0f} MB")


def forget_origins(model: Path) -> None:
    """diffusers notes in each configuration the folder that a part came from: nobody else has that folder."""
    for path in model.rglob("*.json"):
        settings = json.loads(path.read_text())
        if isinstance(settings, dict) and settings.pop("_name_or_path", None):
            path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def evaluation(build: Build, report: Report) -> None:
    figures, sheet = evaluate(Drawer(build.out), load_catalogue(build.work), build.evaluated)
    sheet.save(build.work / "sheet.png")
    (build.work / "evaluation.json").write_text(json.dumps(asdict(figures), indent=1))
    report("evaluate", 1, 1, as_table(figures))


STAGES: dict[str, Callable[[Build, Report], None]] = {
    "fetch": fetch,
    "render": render,
    "autoencoder": autoencoder,
    "tokenizer": tokenizer,
    "latents": latents,
    "text-encoder": text_encoder,
    "unet": unet,
    "assemble": assemble,
    "evaluate": evaluation,
}


def run_stages(build: Build, report: Report, *, names: Sequence[str] = tuple(STAGES)) -> None:
    """Runs those of the named stages that aren't done, in order."""
    build.work.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES.items():
        if name in names and not marker(build, name).exists():
            torch.manual_seed(SEED)
            stage(build, report)
            marker(build, name).parent.mkdir(exist_ok=True)
            marker(build, name).touch()


def marker(build: Build, stage: str) -> Path:
    return build.work / "done" / stage


def forget_from(build: Build, stage: str) -> None:
    """Makes `stage` and all after it due again, checkpoints included."""
    order = list(STAGES)
    for later in order[order.index(stage) :]:
        marker(build, later).unlink(missing_ok=True)
        build.checkpoint(later).unlink(missing_ok=True)
