"""What is known about a model or a LoRA from its files."""

from dataclasses import dataclass, field
from typing import Literal

Family = Literal["sd1", "sd2", "sdxl", "unknown"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
LoraFormat = Literal["kohya", "diffusers", "peft", "unknown"]
Shapes = dict[str, tuple[int, int]]

FAMILY_NAMES: dict[Family, str] = {"sd1": "SD 1", "sd2": "SD 2", "sdxl": "SDXL", "unknown": "unknown"}
# Width of the text embeddings that cross-attention reads: CLIP-L, OpenCLIP-H, and both CLIPs of SDXL.
FAMILY_WIDTHS: dict[int, Family] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
REFINER_WIDTH = 1280


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """`reason` is None for a model that can be used, else a sentence; `notes` are worth telling either way.

    `prediction_type` is None when the files don't say. `components` counts bytes of weights. `modules` maps
    "unet.down_blocks_0_attentions_0_…", "te.…" and "te2.…" to (outputs, inputs). `variant` is what
    diffusers wants to be told when a folder has only, say, fp16 files.
    """

    name: str
    kind: Literal["folder", "file"]
    family: Family = "unknown"
    cross_attention_dim: int | None = None
    prediction_type: Prediction | None = None
    default_size: int | None = None
    variant: str | None = None
    components: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    reason: str | None = None
    notes: list[str] = field(default_factory=list)
    modules: Shapes = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class LoraInfo:
    """`reason` is None for a LoRA that can be loaded. `ranks` and `alphas` hold each value once, sorted.

    `rank` and `alpha` are those of most modules; a module without an alpha has alpha = rank. `default_weight`
    is None when nobody stated one. `modules` is as in ModelInfo. `metadata` is cut to what fits a page.
    """

    name: str
    family: Family = "unknown"
    cross_attention_dim: int | None = None
    format: LoraFormat = "unknown"
    rank: int | None = None
    alpha: float | None = None
    ranks: tuple[int, ...] = ()
    alphas: tuple[float, ...] = ()
    targets: tuple[str, ...] = ()
    title: str = ""
    trigger_words: list[str] = field(default_factory=list)
    default_weight: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    notes: list[str] = field(default_factory=list)
    modules: Shapes = field(default_factory=dict, repr=False)
