"""The engine's language: one JSON object a line, requests in and answers out.

Requests
  {"op": "generate", "job", "model", "prompt", …}   see GenerateRequest
  {"op": "upscale", "job", "path", "factor", "out_dir"}
  {"op": "cancel", "job"}   {"op": "unload"}   {"op": "shutdown"}
Answers, all of a job carry "job"
  {"type": "hello", "pid"}, then {"type": "ready", "device", "dtype", "versions", "seconds"}
  {"type": "progress", "stage", "done", "total", "message", "preview"}   preview is base64 of a JPEG, or null
  {"type": "artifact", "index", "seed", "path", "width", "height"}   a picture is saved
  {"type": "result", "seconds", "load_seconds", "environment", "loaded"}
  {"type": "cancelled"}   {"type": "error", "kind", "message"}
The end of stdin ends the engine as a shutdown does: a job that runs then is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gallery.engine.errors import EngineError
from gallery.engine.samplers import SAMPLERS

MAX_LINE = 1 << 20
SEED_RANGE = 1 << 32
FAMILIES: Final = ("sd1", "sd2", "sdxl")
PREDICTION_TYPES: Final = (None, "epsilon", "v_prediction")


@dataclass(frozen=True)
class ModelSpec:
    """`location` is a diffusers folder, a .safetensors file, or the id of a hub model that is in
    the local cache.
    """

    slug: str
    location: str
    family: str
    revision: str | None = None
    prediction_type: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class LoraSpec:
    name: str
    path: Path
    weight: float
    sha256: str | None = None


@dataclass(frozen=True)
class GenerateRequest:
    """Picture i has seed (seed + i) mod 2**32; only `indexes` of the `count` pictures are made."""

    job: str
    model: ModelSpec
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    sampler: str
    seed: int
    count: int
    indexes: tuple[int, ...]
    loras: tuple[LoraSpec, ...]
    init_image: Path | None
    strength: float
    upscale: int
    out_dir: Path
    metadata: dict[str, Any]

    def seed_of(self, index: int) -> int:
        return (self.seed + index) % SEED_RANGE


@dataclass(frozen=True)
class UpscaleRequest:
    job: str
    path: Path
    factor: int
    out_dir: Path


Request = GenerateRequest | UpscaleRequest


class _Fields:
    """Reads one JSON object; every complaint names the field, its limit and what was given."""

    def __init__(self, data: Any, where: str = "") -> None:
        if not isinstance(data, dict):
            raise EngineError("invalid", f"{where or 'the request'} must be a JSON object.")
        self.data: dict[str, Any] = data
        self.where = f"{where}." if where else ""

    def _fail(self, name: str, rule: str) -> EngineError:
        return EngineError("invalid", f"{self.where}{name} must be {rule}, not {str(self.data.get(name))[:80]!r}.")

    def text(self, name: str, default: str | None = None, *, limit: int = 4096) -> str:
        value = self.data.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or len(value) > limit or "\0" in value:
            raise self._fail(name, f"text of at most {limit} characters")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.data.get(name) is None else self.text(name)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self.data.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._fail(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        value = self.data.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self._fail(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def choice(self, name: str, allowed: tuple[Any, ...], default: Any = None) -> Any:
        value = self.data.get(name, default)
        value = default if value is None else value
        if value not in allowed or isinstance(value, bool):
            raise self._fail(name, f"one of {', '.join(map(str, allowed))}")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        value = self.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > limit:
            raise self._fail(name, f"a list of at most {limit}")
        return value

    def path(self, name: str) -> Path:
        path = Path(self.text(name))
        if not path.is_absolute():
            raise self._fail(name, "an absolute path")
        return path

    def side(self, name: str) -> int:
        value = self.integer(name, 64, 2048)
        if value % 8:
            raise self._fail(name, "a multiple of 8")
        return value


def parse_request(data: dict[str, Any]) -> Request:
    """Checks a generate or upscale request. Raises EngineError of kind "invalid"."""
    fields = _Fields(data)
    op = fields.choice("op", ("generate", "upscale"), "")
    return _parse_generate(fields) if op == "generate" else _parse_upscale(fields)


def _parse_generate(f: _Fields) -> GenerateRequest:
    count = f.integer("count", 1, 16, 1)
    return GenerateRequest(
        job=f.text("job"),
        model=_parse_model(f.data.get("model")),
        prompt=f.text("prompt"),
        negative_prompt=f.text("negative_prompt", ""),
        width=f.side("width"),
        height=f.side("height"),
        steps=f.integer("steps", 1, 150),
        guidance=f.number("guidance", 0, 30),
        sampler=f.choice("sampler", tuple(SAMPLERS), ""),
        seed=f.integer("seed", 0, SEED_RANGE - 1),
        count=count,
        indexes=_parse_indexes(f, count),
        loras=tuple(_parse_lora(item, i) for i, item in enumerate(f.items("loras", 8))),
        init_image=f.path("init_image") if f.data.get("init_image") is not None else None,
        strength=f.number("strength", 0, 1, 1.0),
        upscale=f.choice("upscale", (1, 2, 4), 1),
        out_dir=f.path("out_dir"),
        metadata=_Fields(f.data.get("metadata") or {}, "metadata").data,
    )


def _parse_upscale(f: _Fields) -> UpscaleRequest:
    factor = f.choice("factor", (2, 4), 4)
    return UpscaleRequest(job=f.text("job"), path=f.path("path"), factor=factor, out_dir=f.path("out_dir"))


def _parse_indexes(f: _Fields, count: int) -> tuple[int, ...]:
    indexes = f.items("indexes", 16)
    for index in indexes:
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
            raise EngineError("invalid", f"indexes must be whole numbers from 0 to {count - 1}, not {index!r}.")
    return tuple(dict.fromkeys(indexes)) if indexes else tuple(range(count))


def _parse_model(data: Any) -> ModelSpec:
    f = _Fields(data, "model")
    return ModelSpec(
        slug=f.text("slug"),
        location=f.text("location"),
        family=f.choice("family", FAMILIES, ""),
        revision=f.optional_text("revision"),
        prediction_type=f.choice("prediction_type", PREDICTION_TYPES),
        sha256=f.optional_text("sha256"),
    )


def _parse_lora(data: Any, i: int) -> LoraSpec:
    f = _Fields(data, f"loras[{i}]")
    weight = f.number("weight", -2, 2, 1.0)
    return LoraSpec(f.text("name"), f.path("path"), weight, f.optional_text("sha256"))
