"""One job from request to saved pictures, on a workshop that stays warm between jobs."""

from __future__ import annotations

import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from gallery.engine.autoencoder import decode_latents, encode_picture
from gallery.engine.denoise import Denoiser, Plan
from gallery.engine.devices import Device, environment, release_memory
from gallery.engine.document import Provenance, picture_info
from gallery.engine.embeddings import PromptEncoder
from gallery.engine.files import fingerprint
from gallery.engine.loras import LoraBench, LoraCache
from gallery.engine.models import LoadedModel, load_model, resolve
from gallery.engine.pictures import fill, open_picture
from gallery.engine.preview import Previewer
from gallery.engine.protocol import GenerateRequest, ModelSpec, UpscaleRequest
from gallery.engine.reporter import Reporter
from gallery.engine.save import picture_name, save_png
from gallery.engine.upscale import Upscaler
from gallery.weights import file_sha256


class Warm:
    """A loaded model with what belongs to it."""

    def __init__(self, model: LoadedModel, loras: LoraCache) -> None:
        self.model = model
        self.loras = LoraBench(model, loras)
        self.prompts = PromptEncoder(model)
        self.previewer = Previewer(model)


class Workshop:
    """Everything that stays in memory between jobs."""

    def __init__(self, device: Device, batch: int | None = None) -> None:
        self.device = device
        self.batch = batch
        self.upscaler = Upscaler(torch.get_num_threads())
        self.lora_files = LoraCache()
        self.warm: Warm | None = None

    def drop_model(self) -> None:
        self.warm = None
        release_memory()

    def model_for(self, spec: ModelSpec, reporter: Reporter) -> Warm:
        """The warm model if it is the one asked for and its files are unchanged.

        Else it makes room for the other.
        """
        if self.warm and self._fits(self.warm.model, spec):
            return self.warm
        reporter.stage("loading", f"Loading the model {spec.slug}")
        self.drop_model()
        model = load_model(spec, self.device, lambda part: reporter.stage("loading", f"Loading the {part}"))
        self.warm = Warm(model, self.lora_files)
        return self.warm

    def _fits(self, model: LoadedModel, spec: ModelSpec) -> bool:
        return model.spec == spec and model.files == fingerprint(resolve(spec))


class GenerateJob:
    def __init__(self, workshop: Workshop, request: GenerateRequest, reporter: Reporter) -> None:
        self.workshop = workshop
        self.request = request
        self.reporter = reporter
        self.plan = Plan(
            request.width, request.height, request.steps, request.guidance, request.sampler, request.strength
        )
        self.each = self.plan.steps_done(from_picture=request.init_image is not None)
        self.provenance: Provenance  # known once everything is read

    def run(self) -> dict[str, Any]:
        """Makes and saves the pictures; returns what the result says."""
        started = time.monotonic()
        picture = self._init_picture()
        warm = self.workshop.model_for(self.request.model, self.reporter)
        load_seconds = time.monotonic() - started
        state = self._lora_state(warm)
        self.reporter.stage("encoding", "Reading the prompt")
        positive, negative = self._embeddings(warm, state)
        start = encode_picture(warm.model, picture) if picture else None
        self.provenance = self._provenance(warm)
        for indexes in self._batches():
            self._batch(warm, indexes, positive, negative, start)
        return {
            "seconds": round(time.monotonic() - started, 3),
            "load_seconds": round(load_seconds, 3),
            "environment": self.provenance.environment,
            "loaded": self.request.model.slug,
        }

    def _provenance(self, warm: Warm) -> Provenance:
        path = self.request.init_image
        return Provenance(
            environment(self.workshop.device),
            warm.loras.digests(self.request.loras),
            file_sha256(path) if path else "",
        )

    def _init_picture(self) -> Image.Image | None:
        if self.request.init_image is None:
            return None
        return fill(open_picture(self.request.init_image), self.request.width, self.request.height)

    def _lora_state(self, warm: Warm) -> Hashable:
        if self.request.loras:
            self.reporter.stage(
                "loading", f"Applying {len(self.request.loras)} LoRA{'s'[: len(self.request.loras) > 1]}"
            )
        return warm.loras.apply(self.request.loras)

    def _embeddings(self, warm: Warm, state: Hashable) -> Any:
        if self.plan.guided(warm.model):
            return warm.prompts.pair(self.request.prompt, self.request.negative_prompt, state)
        return warm.prompts.encode(self.request.prompt, state), None

    def _batches(self) -> list[tuple[int, ...]]:
        indexes = self.request.indexes
        size = self.workshop.batch or self.workshop.device.batch_size(self.plan.width, self.plan.height)
        return [indexes[i : i + size] for i in range(0, len(indexes), size)]

    def _batch(self, warm: Warm, indexes: tuple[int, ...], positive: Any, negative: Any, start: Any) -> None:
        generators = [torch.Generator().manual_seed(self.request.seed_of(i)) for i in indexes]
        denoiser = Denoiser(warm.model, self.plan, positive, negative, len(indexes))
        before = self.reporter.done

        def on_step(done: int, estimate: Any) -> None:
            message = f"Step {done} of {self.each}, {self._which(indexes)}"
            self.reporter.step(before + done * len(indexes), message, lambda: warm.previewer.jpeg(estimate()))

        latents = denoiser.run(generators, start.repeat(len(indexes), 1, 1, 1) if start is not None else None, on_step)
        for index, latent in zip(indexes, latents[:, None], strict=True):
            self._finish(warm, index, latent)

    def _which(self, indexes: tuple[int, ...]) -> str:
        first, last, count = indexes[0] + 1, indexes[-1] + 1, self.request.count
        return f"picture {first} of {count}" if first == last else f"pictures {first} to {last} of {count}"

    def _finish(self, warm: Warm, index: int, latent: torch.Tensor) -> None:
        self.reporter.stage("decoding", f"Decoding picture {index + 1} of {self.request.count}")
        picture = decode_latents(warm.model, latent)
        if self.request.upscale > 1:
            self.reporter.stage("upscaling", f"Enlarging picture {index + 1} of {self.request.count}")
            picture = self.workshop.upscaler.enlarge(picture, self.request.upscale, lambda d, t: self.reporter.check())
        self.reporter.stage("saving", f"Saving picture {index + 1} of {self.request.count}")
        path = self.request.out_dir / picture_name(self.request.job, index)
        save_png(picture, path, picture_info(self.request, index, self.provenance))
        self._tell(index, path, picture)

    def _tell(self, index: int, path: Path, picture: Image.Image) -> None:
        self.reporter.send(
            type="artifact",
            index=index,
            seed=self.request.seed_of(index),
            path=str(path),
            width=picture.width,
            height=picture.height,
        )


def run_upscale(workshop: Workshop, request: UpscaleRequest, reporter: Reporter) -> dict[str, Any]:
    """Enlarges one picture file; the result is a PNG that keeps transparency and drops metadata."""
    started = time.monotonic()
    picture = open_picture(request.path)
    reporter.stage("upscaling", f"Enlarging {request.factor} times")

    def on_tile(done: int, total: int) -> None:
        reporter.check()

    result = workshop.upscaler.enlarge(picture, request.factor, on_tile)
    reporter.stage("saving", "Saving the picture")
    path = request.out_dir / picture_name(request.job, 0)
    save_png(result, path, None)
    reporter.send(type="artifact", index=0, seed=None, path=str(path), width=result.width, height=result.height)
    return {
        "seconds": round(time.monotonic() - started, 3),
        "load_seconds": 0.0,
        "environment": environment(workshop.device),
        "loaded": workshop.warm.model.spec.slug if workshop.warm else None,
    }
