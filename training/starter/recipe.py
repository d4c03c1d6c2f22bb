"""The numbers of the starter model, in one place."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from training.starter.autoencoder import AutoencoderSize
from training.starter.loop import Plan
from training.starter.render import CAPTIONS, COPIES
from training.starter.text_encoder import TextSize
from training.starter.unet import UNetSize

TRAINED = ("autoencoder", "text-encoder", "unet")
GENTLE = 0.6
"""Share of the learning rates with which a finished model is trained further."""


class RecipeError(ValueError):
    """A recipe that can't be cooked, in a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Recipe:
    copies: int = COPIES
    captions: int = CAPTIONS
    vocabulary: int = 6200
    autoencoder_size: AutoencoderSize = field(default_factory=AutoencoderSize)
    text_size: TextSize = field(default_factory=TextSize)
    unet_size: UNetSize = field(default_factory=UNetSize)
    batch_sizes: dict[str, int] = field(default_factory=lambda: {"autoencoder": 32, "text-encoder": 128, "unet": 64})
    plans: dict[str, Plan] = field(
        default_factory=lambda: {
            "autoencoder": Plan(steps=12_000, learning_rate=1e-3, average=0.998),
            "text-encoder": Plan(steps=12_000, learning_rate=7e-4),
            "unet": Plan(steps=30_000, learning_rate=5e-4, average=0.999),
        }
    )

    def with_minutes(self, minutes: dict[str, float]) -> "Recipe":
        """The same recipe in a time budget per trained stage."""
        for stage in minutes:
            if stage not in TRAINED:
                raise RecipeError(f"--minutes knows the stages {', '.join(TRAINED)}, not {stage!r}: name one of them.")
        plans = {name: replace(plan, minutes=minutes.get(name)) for name, plan in self.plans.items()}
        return replace(self, plans=plans)

    def gentler(self) -> "Recipe":
        """The same recipe for a model that has learned already: full rates would undo part of it first."""
        plans = {name: replace(plan, learning_rate=plan.learning_rate * GENTLE) for name, plan in self.plans.items()}
        return replace(self, plans=plans)


@dataclass(frozen=True)
class Build:
    """Where a build works and what it makes. `start` is a finished model to go on from."""

    work: Path
    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    start: Path | None = None
    evaluated: int = 200

    @property
    def pictures(self) -> Path:
        return self.work / "pictures.npy"

    @property
    def latents(self) -> Path:
        return self.work / "latents.npy"

    @property
    def tokens(self) -> Path:
        return self.work / "tokens.pt"

    @property
    def heads(self) -> Path:
        return self.work / "heads.pt"

    def part(self, name: str) -> Path:
        return self.work / "model" / name

    def checkpoint(self, stage: str) -> Path:
        return self.work / "checkpoints" / f"{stage}.pt"
