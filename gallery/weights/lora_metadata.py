"""What a LoRA file and the notes beside it say about the LoRA."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallery.metadata.values import as_float, as_text, load_object
from gallery.weights.info import Family

SHOWN_ENTRIES = 64
SHOWN_LENGTH = 500
WORDS = 10
WORD_LENGTH = 100
_SIDECAR_LIMIT = 262_144
# Captions and folder names of somebody's training data, and pictures: not for a page.
_PRIVATE = ("ss_tag_frequency", "ss_dataset_dirs", "ss_datasets", "ss_bucket_info", "modelspec.thumbnail")
_ARCHITECTURES: tuple[tuple[str, Family], ...] = (
    ("stable-diffusion-xl", "sdxl"),
    ("sdxl", "sdxl"),
    ("stable-diffusion-v1", "sd1"),
    ("sd_v1", "sd1"),
    ("sd_1", "sd1"),
    ("stable-diffusion-v2", "sd2"),
    ("sd_v2", "sd2"),
    ("sd_2", "sd2"),
)
# A word is the LoRA's trigger when nearly every training picture's caption holds it.
_TRIGGER_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Claims:
    """`family` is None when nothing is said, "unknown" when a family is named that Imagineer doesn't run."""

    family: Family | None
    family_text: str
    title: str
    trigger_words: list[str]
    default_weight: float | None
    shown: dict[str, str]


def read_claims(metadata: Mapping[str, str], path: Path) -> Claims:
    notes = _sidecar(path)
    family_text = metadata.get("modelspec.architecture") or metadata.get("ss_base_model_version") or ""
    title = metadata.get("modelspec.title") or metadata.get("ss_output_name") or ""
    weight = _weight(metadata.get("imagineer.default_weight"), notes.get("preferred weight"))
    return Claims(
        family=_family(family_text),
        family_text=as_text(family_text, 80),
        title=as_text(title, 200).strip(),
        trigger_words=_trigger_words(metadata, notes),
        default_weight=weight,
        shown=_shown(metadata),
    )


def _sidecar(path: Path) -> dict[str, Any]:
    """`NAME.json` beside `NAME.safetensors`, as A1111, Forge and InvokeAI keep their notes on a LoRA."""
    notes = path.with_suffix(".json")
    try:
        if notes == path or not notes.is_file() or notes.stat().st_size > _SIDECAR_LIMIT:
            return {}
        return load_object(notes.read_text("utf-8"), _SIDECAR_LIMIT) or {}
    except (OSError, UnicodeDecodeError):
        return {}


def _family(text: str) -> Family | None:
    if not text:
        return None
    return next((family for start, family in _ARCHITECTURES if text.lower().startswith(start)), "unknown")


def _weight(*stated: Any) -> float | None:
    """The first weight within the -2 to 2 a request may use; A1111 writes 0 for "none stated"."""
    weights = (as_float(value, -2, 2) for value in stated)
    return next((weight for weight in weights if weight), None)


def _trigger_words(metadata: Mapping[str, str], notes: Mapping[str, Any]) -> list[str]:
    for text in (metadata.get("modelspec.trigger_phrase"), notes.get("activation text")):
        if words := _words(as_text(text)):
            return words
    return _common_tags(metadata)


def _words(text: str) -> list[str]:
    pieces = (as_text(piece, WORD_LENGTH).strip() for piece in text[:4096].split(","))
    return list(dict.fromkeys(piece for piece in pieces if piece))[:WORDS]


def _common_tags(metadata: Mapping[str, str]) -> list[str]:
    folders = load_object(metadata.get("ss_tag_frequency", "")) or {}
    counts: dict[str, float] = {}
    for tags in folders.values():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            word = as_text(tag, WORD_LENGTH).strip()
            counts[word] = counts.get(word, 0) + (as_float(count) or 0)
    pictures = _pictures(metadata) or max(counts.values(), default=0)
    often = [word for word, count in counts.items() if word and count >= _TRIGGER_SHARE * pictures > 0]
    return sorted(often, key=lambda word: -counts[word])[:WORDS]


def _pictures(metadata: Mapping[str, str]) -> float:
    folders = load_object(metadata.get("ss_dataset_dirs", "")) or {}
    return sum(as_float(item.get("img_count")) or 0 for item in folders.values() if isinstance(item, dict))


def _shown(metadata: Mapping[str, str]) -> dict[str, str]:
    kept = [(key, text) for key, text in sorted(metadata.items()) if key not in _PRIVATE]
    return {as_text(key, 100): as_text(text, SHOWN_LENGTH) for key, text in kept[:SHOWN_ENTRIES]}
