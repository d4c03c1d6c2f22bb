"""What a LoRA file is: whose, of which shape, and whether it can be loaded."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from gallery.weights.header import WeightsRefused, read_header
from gallery.weights.info import FAMILY_NAMES, FAMILY_WIDTHS, Family, LoraInfo, Shapes
from gallery.weights.lora_alpha import read_alphas
from gallery.weights.lora_faults import fault_of
from gallery.weights.lora_keys import LoraKeys, split_keys
from gallery.weights.lora_metadata import Claims, read_claims

_Number = TypeVar("_Number", int, float)


def detect_lora(path: str | Path) -> LoraInfo:
    """Reads the header and the alphas only. Raises OSError when there is no file.

    A LoRA that can't be used is no exception: its `reason` says why. Shapes decide the family; what the
    metadata claims is used where the shapes leave it open.
    """
    path = Path(path)
    try:
        header = read_header(path)
    except WeightsRefused as refusal:
        return LoraInfo(path.stem, reason=refusal.reason)
    keys, claims = split_keys(header.tensors), read_claims(header.metadata, path)
    shapes, ranks, alphas = _shapes(keys), _ranks(keys), read_alphas(header, keys)
    family, notes = _family(shapes, claims)
    widths = cross_attention_widths(shapes)
    return LoraInfo(
        name=path.stem,
        family=family,
        cross_attention_dim=widths[0] if widths else None,
        format=keys.format,
        rank=_most(ranks),
        alpha=_most(alphas),
        ranks=tuple(sorted(set(ranks))),
        alphas=tuple(sorted({alpha for alpha in alphas if math.isfinite(alpha)})),
        targets=tuple(sorted({name.partition(".")[0] for name in shapes})),
        title=claims.title,
        trigger_words=claims.trigger_words,
        default_weight=claims.default_weight,
        metadata=claims.shown,
        reason=fault_of(header, keys, widths, alphas),
        notes=notes,
        modules=shapes,
    )


def cross_attention_widths(shapes: Shapes) -> list[int]:
    """Inputs of the layers that read the text; a sound LoRA has at most one width."""
    ends = ("attn2_to_k", "attn2_to_v")
    return sorted({inputs for name, (_, inputs) in shapes.items() if name.endswith(ends)})


def _shapes(keys: LoraKeys) -> Shapes:
    return {
        name: (module.up.shape[0], module.down.shape[1])
        for name, module in keys.modules.items()
        if module.up and module.down and len(module.up.shape) >= 2 and len(module.down.shape) >= 2
    }


def _ranks(keys: LoraKeys) -> list[int]:
    return [module.down.shape[0] for module in keys.modules.values() if module.down and module.down.shape]


def _family(shapes: Shapes, claims: Claims) -> tuple[Family, list[str]]:
    family = _family_of_shapes(shapes) or claims.family or "unknown"
    if not shapes or claims.family is None or claims.family == family:
        return family, []
    own = FAMILY_NAMES[family]
    return family, [f"The metadata says {claims.family_text!r}, the tensors are those of {own}; they count."]


def _family_of_shapes(shapes: Shapes) -> Family | None:
    widths = cross_attention_widths(shapes)
    for width in widths:
        if width in FAMILY_WIDTHS:
            return FAMILY_WIDTHS[width]
    # Only SDXL has a second text encoder, and several transformer blocks in one attention.
    if any(name.startswith("te2.") or "_transformer_blocks_1_" in name for name in shapes):
        return "sdxl"
    if any(name.startswith("te.") and name.endswith("q_proj") and shapes[name][1] == 1024 for name in shapes):
        return "sd2"
    return "sd1" if widths else None


def _most(values: Sequence[_Number]) -> _Number | None:
    return Counter(values).most_common(1)[0][0] if values else None
