"""Prompt syntax: attention weights, BREAK and LoRA tags. Plain text work, no torch.

The syntax and its factors are those of AUTOMATIC1111's web UI: `(x)` is 1.1, `[x]` is 1/1.1, `(x:1.3)`
is 1.3, they nest and multiply, `\\(` is a plain bracket, and the word BREAK starts a new chunk.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

ROUND_FACTOR = 1.1
SQUARE_FACTOR = 1 / 1.1

MAX_WEIGHT = 10.0  # beyond this a prompt is only noise; nesting would reach infinity

_BREAK = re.compile(r"\bBREAK\b")
_NUMBER = re.compile(r"\s*([+-]?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6}))\s*\)")
_LORA_TAG = re.compile(r"<lora:([^<>:]{1,200})(?::([^<>:]{1,20}))?(?::[^<>]{0,40})?>", re.IGNORECASE)


@dataclass(frozen=True)
class Segment:
    """A run of text under one weight; `chunk` counts the BREAKs before it."""

    text: str
    weight: float
    chunk: int = 0


def parse_prompt(prompt: str) -> list[Segment]:
    """The prompt as weighted segments.

    Neighbours of equal weight are joined, an empty prompt is one empty segment.
    """
    return _split_chunks(_Scanner(prompt).run())


def extract_lora_tags(prompt: str) -> tuple[str, list[tuple[str, float]]]:
    """The prompt without its `<lora:name:weight>` tags, and what they name; a tag without a weight means 1.

    A tag whose weight is no number stays in the text, so that its author sees that it did nothing.
    """
    found: list[tuple[str, float]] = []

    def take(match: re.Match[str]) -> str:
        weight = _number(match[2]) if match[2] is not None else 1.0
        if weight is None:
            return match[0]
        found.append((match[1].strip(), weight))
        return ""

    text = _LORA_TAG.sub(take, prompt)
    return (_tidy(text), found) if found else (prompt, [])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _tidy(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    kept = [part for i, part in enumerate(parts) if part or i in (0, len(parts) - 1)]
    return re.sub(r"[ \t]{2,}", " ", ", ".join(kept)).strip(" ,")


class _Scanner:
    """One pass over the text.

    Each open bracket remembers where its runs start, closing it multiplies them.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.runs: list[tuple[str, float]] = []
        self.round: list[int] = []
        self.square: list[int] = []
        self.literal: list[str] = []

    def run(self) -> list[tuple[str, float]]:
        position = 0
        while position < len(self.text):
            position = self._take(position)
        self._flush()
        for start in self.round:
            self._multiply(start, ROUND_FACTOR)
        for start in self.square:
            self._multiply(start, SQUARE_FACTOR)
        return self.runs

    def _take(self, i: int) -> int:
        """Consumes what stands at i and returns where the next begins."""
        char = self.text[i]
        if char == "\\" and self.text[i + 1 : i + 2] in ("(", ")", "[", "]", "\\"):
            self.literal.append(self.text[i + 1])
            return i + 2
        if char in "([":
            self._flush()
            (self.round if char == "(" else self.square).append(len(self.runs))
        elif char == ":" and self.round and (number := _NUMBER.match(self.text, i + 1)):
            self._close(self.round, float(number[1]))
            return number.end()
        elif char == ")" and self.round:
            self._close(self.round, ROUND_FACTOR)
        elif char == "]" and self.square:
            self._close(self.square, SQUARE_FACTOR)
        else:
            self.literal.append(char)
        return i + 1

    def _close(self, stack: list[int], factor: float) -> None:
        self._flush()
        self._multiply(stack.pop(), factor)

    def _multiply(self, start: int, factor: float) -> None:
        self.runs[start:] = [(text, weight * factor) for text, weight in self.runs[start:]]

    def _flush(self) -> None:
        if self.literal:
            self.runs.append(("".join(self.literal), 1.0))
            self.literal.clear()


def _split_chunks(runs: list[tuple[str, float]]) -> list[Segment]:
    segments: list[Segment] = []
    chunk = 0
    for text, weight in runs:
        parts = _BREAK.split(text)
        for i, part in enumerate(parts):
            chunk += i > 0
            _append(segments, part.strip() if len(parts) > 1 else part, weight, chunk)
    return segments or [Segment("", 1.0)]


def _append(segments: list[Segment], text: str, weight: float, chunk: int) -> None:
    weight = max(-MAX_WEIGHT, min(MAX_WEIGHT, weight))
    last = segments[-1] if segments else None
    if last and (last.weight, last.chunk) == (weight, chunk):
        segments[-1] = Segment(last.text + text, weight, chunk)
    elif text:
        segments.append(Segment(text, weight, chunk))
