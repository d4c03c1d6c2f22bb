"""Reads a LoRA file in any of the spellings that are around into one form.

kohya      lora_unet_down_blocks_0_…_to_q.lora_down.weight, .lora_up.weight, .alpha
           text encoders: lora_te_ (SD 1 and 2), lora_te1_ and lora_te2_ (SDXL)
diffusers  unet.down_blocks.0.….to_q.lora.down.weight, .lora.up.weight
           text encoders: .lora_linear_layer.down.weight; before 2024: .attn1.processor.to_q_lora.down.weight
PEFT       unet.….to_q.lora_A.weight, .lora_B.weight; in its own files under base_model.model.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

import torch
from safetensors import safe_open

from gallery.engine.errors import EngineError
from gallery.engine.files import checked_header
from gallery.engine.protocol import LoraSpec
from gallery.weights import file_sha256, tensors_sha256

# Parts of a model: the UNet and its text encoders by number.
UNET: Final = "unet"
PARTS: Final = (UNET, "text_encoder", "text_encoder_2")

_PREFIXES: Final = {
    "lora_unet_": UNET,
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "unet.": UNET,
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "base_model.model.unet.": UNET,
    "base_model.model.text_encoder.": "text_encoder",
    "base_model.model.": UNET,
}
_ENDINGS: Final = (
    (
        re.compile(r"\.(?:lora_down|lora\.down|lora_linear_layer\.down|lora_A|lora_A\.default)\.weight$"),
        "down",
    ),
    (re.compile(r"\.(?:lora_up|lora\.up|lora_linear_layer\.up|lora_B|lora_B\.default)\.weight$"), "up"),
    (re.compile(r"_lora\.down\.weight$"), "down"),
    (re.compile(r"_lora\.up\.weight$"), "up"),
    (re.compile(r"\.alpha$"), "alpha"),
)
_OTHER_KINDS: Final = {
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "hada_w": "a LoHa",
    "lokr_w": "a LoKr",
    "oft_": "an OFT",
    "bundle_emb": "a LoRA with embeddings in it",
    "lora_mid": "a LoRA in Tucker form",
}


@dataclass(frozen=True)
class LowRank:
    """One module's change: weight + strength * (alpha / rank) * up @ down.

    `name` has underscores for dots.
    """

    part: str
    name: str
    down: torch.Tensor
    up: torch.Tensor
    alpha: float | None

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])

    @property
    def scale(self) -> float:
        """Without an alpha, or with kohya's 0 for "none", alpha counts as the rank."""
        return self.alpha / self.rank if self.alpha else 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Outputs and inputs of the module it changes; a convolution's kernel counts as inputs."""
        return self.up.shape[0], math.prod(self.down.shape[1:])

    def fits(self, shape: torch.Size) -> bool:
        return self.size == (shape[0], shape[1:].numel()) and math.prod(self.up.shape[1:]) == self.rank

    def delta(self, shape: torch.Size, device: torch.device) -> torch.Tensor:
        """float32, in the shape of the module's weight, at strength 1."""
        up = self.up.to(device, torch.float32).flatten(1)
        down = self.down.to(device, torch.float32).flatten(1)
        return (up @ down).mul_(self.scale).view(shape)


@dataclass(frozen=True)
class LoraFile:
    """`digest` is the SHA-256 of the tensors alone, by which other programs know a LoRA."""

    name: str
    modules: tuple[LowRank, ...]
    bytes: int
    digest: str


def read_lora(spec: LoraSpec) -> LoraFile:
    """Checks the file, then reads it. Raises EngineError ("lora") with the reason."""
    header = checked_header(spec.path, "lora")
    _refuse_other_kinds(spec.name, header.tensors)
    if spec.sha256 and file_sha256(spec.path) != spec.sha256:
        raise EngineError("lora", f"The file of the LoRA {spec.name} has changed since it was added; add it again.")
    with safe_open(spec.path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no dict
    alphas = _Alphas(header.metadata)
    modules = [
        _module(spec.name, part, name, found, alphas) for (part, name), found in _grouped(spec.name, tensors).items()
    ]
    size = sum(tensor.nbytes for tensor in tensors.values())
    return LoraFile(spec.name, tuple(modules), size, tensors_sha256(spec.path))


def _grouped(lora: str, tensors: dict[str, torch.Tensor]) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    groups: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        part, name, role = split_key(lora, key)
        groups.setdefault((part, name), {})[role] = tensor
    return groups


def split_key(lora: str, key: str) -> tuple[str, str, str]:
    """(part, module name with underscores, "down" | "up" | "alpha") of a tensor's name."""
    match, role = next(((m, role) for pattern, role in _ENDINGS if (m := pattern.search(key))), (None, ""))
    if match is None:
        raise EngineError(
            "lora", f"The LoRA {lora} holds {key[:120]!r}, which is no part of a LoRA that Imagineer knows."
        )
    path = key[: match.start()]
    prefix = next((p for p in sorted(_PREFIXES, key=len, reverse=True) if path.startswith(p)), "")
    part = _PREFIXES.get(prefix, UNET)
    return part, _plain(part, path[len(prefix) :]), role


_OLD_TEXT_NAMES: Final = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def _plain(part: str, path: str) -> str:
    """Module path as PyTorch names it, underscores for dots.

    Old attention processors are named by their layer.
    """
    path = path.replace(".processor.", ".")
    head, _, last = path.rpartition(".")
    if part == UNET and last == "to_out":
        path = f"{head}.to_out.0"
    elif part != UNET and last in _OLD_TEXT_NAMES:
        path = f"{head}.{_OLD_TEXT_NAMES[last]}"
    return plain_name(part, path)


def plain_name(part: str, path: str) -> str:
    """The common form of names: transformers lately leaves out the text encoders' leading `text_model`."""
    name = path.replace(".", "_")
    return name if part == UNET else name.removeprefix("text_model_")


class _Alphas:
    """Alphas that diffusers keeps beside the tensors, as PEFT's configuration in the file's metadata."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self.config: dict[str, Any] = {}
        try:
            found = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict):
            self.config = found

    def of(self, part: str, name: str, rank: int) -> float | None:
        alpha = self.config.get(f"{part}.lora_alpha")
        patterns = self.config.get(f"{part}.alpha_pattern")
        for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
            if name.endswith(str(pattern).replace(".", "_")):
                alpha = value
        if not isinstance(alpha, int | float) or isinstance(alpha, bool):
            return None
        return float(alpha) * math.sqrt(rank) if self.config.get(f"{part}.use_rslora") else float(alpha)


def _module(lora: str, part: str, name: str, tensors: dict[str, torch.Tensor], alphas: _Alphas) -> LowRank:
    if not {"down", "up"} <= tensors.keys():
        raise EngineError("lora", f"The LoRA {lora} is incomplete: {name} has only {', '.join(sorted(tensors))}.")
    down, up = tensors["down"], tensors["up"]
    if (
        down.dim() < 2
        or up.dim() < 2
        or not down.shape[0]
        or not down.is_floating_point()
        or not up.is_floating_point()
    ):
        raise EngineError("lora", f"The LoRA {lora} is damaged: {name} holds no matrices.")
    alpha = float(tensors["alpha"].float().flatten()[0]) if "alpha" in tensors else alphas.of(part, name, down.shape[0])
    sums = down.float().sum() + up.float().sum() + (alpha or 0.0)
    if not torch.isfinite(sums):
        raise EngineError("lora", f"The LoRA {lora} is damaged: {name} holds values that are no numbers (NaN).")
    return LowRank(part, name, down, up, alpha)


def _refuse_other_kinds(lora: str, tensors: Any) -> None:
    for key in tensors:
        for sign, kind in _OTHER_KINDS.items():
            if sign in key:
                raise EngineError(
                    "lora", f"{lora} is {kind}, which Imagineer can't apply; use a plain LoRA or LoCon file."
                )
