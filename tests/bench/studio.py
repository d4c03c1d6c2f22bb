"""The product as the benchmarks use it: real workers, a database and files of its own."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client, override_settings

from gallery.models import DiffusionModel, Generation, Lora
from gallery.services.registry import register_lora
from gallery.services.requests import GenerationRequest, LoraChoice, create_generation
from imagineer.models import User
from imagineer.runs import RunStatus
from tests.studio import Studio, make_template

SLOW = {
    "IMAGINEER_CANARY_SECONDS": "10",
    "IMAGINEER_SILENCE_SECONDS": "25",
    "IMAGINEER_SWEEP_SECONDS": "10",
    "IMAGINEER_ENGINE_THREADS": "0",
}


class BenchStudio:
    def __init__(self) -> None:
        self.user = User.objects.create_superuser("bench@example.org", "x")
        self.model = DiffusionModel.objects.get(slug="starter")
        self.client = Client()
        self.client.force_login(self.user)

    def order(self, *, steps: int, seed: int = 0, lora: Lora | None = None) -> Generation:
        return create_generation(
            self.user,
            GenerationRequest(
                prompt="red apple, 3d style",
                steps=steps,
                seed=seed,
                guidance=4.0,
                sampler="DDIM",
                upscale=1,
                loras=[LoraChoice(lora.slug, 1.0)] if lora else [],
            ),
        )

    def post(self, *, steps: int, seed: int) -> Generation:
        body = {"prompt": "red apple, 3d style", "steps": steps, "seed": seed, "sampler": "DDIM", "upscale": 1}
        answer = self.client.post("/api/v1/generations", body, content_type="application/json")
        assert answer.status_code == 202, answer.content
        return Generation.objects.get(pk=answer.json()["id"])

    def until_first_step(self, generation: Generation) -> None:
        mine = Generation.objects.filter(pk=generation.pk)
        while not mine.filter(done__gte=1).exists():
            time.sleep(0.003)

    def finish(self, generations: list[Generation], seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        pks = [generation.pk for generation in generations]
        while Generation.objects.filter(pk__in=pks).active().exists():
            assert time.monotonic() < deadline, "the benchmark's pictures take too long"
            time.sleep(0.02)
        failed = Generation.objects.filter(pk__in=pks).exclude(status=RunStatus.SUCCEEDED).first()
        assert failed is None, failed.error

    def make_loras(self, folder: Path, number: int) -> list[Lora]:
        return [
            register_lora(_random_lora(self.model, folder / f"lora{index}.safetensors", index))
            for index in range(number)
        ]


@contextlib.contextmanager
def open_studio(folder: Path) -> Iterator[BenchStudio]:
    root = folder / "data"
    studio = Studio(root, make_template(folder / "template"))
    studio.env |= SLOW
    storages = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": root / "media"}},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    with override_settings(
        DATA_DIR=root,
        MODELS_DIR=root / "models",
        STORAGES=storages,
        GENERATIONS_PER_MINUTE=0,
        ALLOWED_HOSTS=["testserver"],
    ):
        connection.close()
        connection.settings_dict["NAME"] = str(root / "imagineer.sqlite3")
        studio.start("generation")
        try:
            yield BenchStudio()
        finally:
            studio.stop()
            connection.close()


def _random_lora(model: DiffusionModel, path: Path, seed: int, rank: int = 8) -> Path:
    """Small random weights for every attention layer of the model, as kohya names them."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, Any] = {}
    for name, (outputs, inputs) in model.modules.items():
        if not name.startswith("unet.") or "attn" not in name:
            continue
        key = f"lora_unet_{name.removeprefix('unet.')}"
        tensors[f"{key}.lora_down.weight"] = torch.randn(rank, inputs, generator=random) * 0.02
        tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, rank, generator=random) * 0.02
        tensors[f"{key}.alpha"] = torch.tensor(float(rank))
    save_file(tensors, path)
    return path
