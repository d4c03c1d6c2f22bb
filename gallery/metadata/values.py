"""Turns what strangers wrote into bounded Python values; nothing here raises for bad content."""

import json
import math
from typing import Any

TEXT_LIMIT = 262_144  # characters of one text field
GRAPH_LIMIT = 1_048_576  # characters of one node graph
JSON_DEPTH = 64
JSON_VALUES = 200_000


def as_text(value: Any, limit: int = TEXT_LIMIT) -> str:
    """Text without NUL (PostgreSQL refuses it) and without lone surrogates (UTF-8 refuses them)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[:limit].replace("\0", "")
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def as_int(value: Any, low: int = -(2**63), high: int = 2**64 - 1) -> int | None:
    number = as_float(value) if isinstance(value, float) or _has_fraction(value) else _whole(value)
    if number is None or number != int(number) or not low <= number <= high:
        return None
    return int(number)


def as_float(value: Any, low: float = -1e12, high: float = 1e12) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def _has_fraction(value: Any) -> bool:
    return isinstance(value, str) and "." in value


def _whole(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or len(value) > 24:
        return None
    digits = value.strip().removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() else None


def load_object(text: str, limit: int = GRAPH_LIMIT) -> dict[str, Any] | None:
    """A JSON object with clean texts and finite numbers, or None.

    Bare NaN and Infinity, which ComfyUI writes, become None. Deeper than JSON_DEPTH or with more than
    JSON_VALUES values is refused, so that whoever stores or prints the result can't run out of stack.
    """
    if len(text) > limit or text.lstrip()[:1] != "{":
        return None
    try:
        return _Cleaner().clean(json.loads(text, parse_constant=lambda _: None), 0)
    except (ValueError, RecursionError):
        return None


class _Cleaner:
    def __init__(self) -> None:
        self.left = JSON_VALUES

    def clean(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > JSON_DEPTH:
            raise ValueError("too large")
        if isinstance(value, str):
            return as_text(value, GRAPH_LIMIT)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, list):
            return [self.clean(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {as_text(key): self.clean(item, depth + 1) for key, item in value.items()}
        return value


def stem(name: Any) -> str:
    r"""The name people know a weights file by: without folders (/ or \) and without its ending."""
    text = as_text(name, 1024).replace("\\", "/").rsplit("/", 1)[-1]
    for ending in (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".bin"):
        if text.lower().endswith(ending):
            return text[: -len(ending)]
    return text
