"""Looks at weight files and model folders before any library opens them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gallery.engine.errors import EngineError, Kind
from gallery.weights import SafetensorsHeader, WeightsRefused, read_header

MAX_CONFIG = 4 << 20


def checked_header(path: Path, kind: Kind) -> SafetensorsHeader:
    """The header of a sound safetensors file. Raises EngineError of `kind` with the reason."""
    try:
        return read_header(path)
    except WeightsRefused as error:
        raise EngineError(kind, error.reason) from error
    except OSError as error:
        raise EngineError(
            kind, f"{path.name} can't be read ({error.strerror}); check that the file is there."
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """A component's JSON. Raises EngineError of kind "model"."""
    name = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise EngineError(
                "model", f"{name} is larger than {MAX_CONFIG >> 20} MiB; this is not a model's configuration."
            )
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError("model", f"The model has no readable {name}; add the model again.") from error
    if not isinstance(data, dict):
        raise EngineError("model", f"{name} is not a JSON object; add the model again.")
    return data


def weight_files(folder: Path, component: str) -> list[Path]:
    """The component's safetensors files, each with a sound header.

    The plain variant if there is one, else fp16.
    """
    plain = sorted(p for p in (folder / component).glob("*.safetensors") if ".fp16" not in p.name)
    found = plain or sorted((folder / component).glob("*.fp16*.safetensors"))
    if not found:
        raise EngineError(
            "model",
            f"The model has no safetensors file in {component}/; other formats are not loaded.",
        )
    for path in found:
        checked_header(path, "model")
    return found


def fingerprint(location: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file of the model is replaced: names, sizes and times, cheap to take before
    every job.
    """
    paths = (
        [location]
        if location.is_file()
        else sorted(p for p in location.rglob("*") if p.suffix in (".safetensors", ".json"))
    )
    return tuple((str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths)
