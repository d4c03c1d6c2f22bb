"""Failures with one sentence for the person who asked."""

from __future__ import annotations

from typing import Literal

Kind = Literal["invalid", "model", "lora", "memory", "disk", "internal"]


class EngineError(Exception):
    """`kind` says whose fault it is, the message what happened and what to do."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class Cancelled(Exception):
    """The job was cancelled, or the engine is asked to stop."""


MEMORY_ADVICE = (
    "There was not enough memory for this job; choose a smaller width and height, fewer pictures, "
    "no enlarging, or a smaller model."
)
DISK_ADVICE = "The disk is full, so the picture could not be saved; free some space and start the job again."
_MEMORY_SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for torch's, Python's and the allocators' ways of saying it, without importing torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(sign in text for sign in _MEMORY_SIGNS)
