"""What a picture was made from, in the words of the field."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from gallery.metadata.values import as_float, as_int, as_text

Source = Literal["imagineer", "a1111", "comfyui", "invokeai", "swarmui", "fooocus"]

LORA_LIMIT = 64
EXTRA_LIMIT = 128
_SIDE = (1, 1_000_000)


@dataclass(frozen=True, slots=True)
class LoraUse:
    """`hash` is the SHA-256 of the bytes after the safetensors header, `sha256` that of the whole file.

    Both are hex, empty when unknown; other programs write only the first 10 or 12 digits.
    """

    name: str
    weight: float = 1.0
    hash: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class GenerationParameters:
    """`prompt` is free of `<lora:…>` tags: they are in `loras`. `width` and `height` are before `upscale`.

    `model_hash` is the SHA-256 of the model's file, in full or its first 10 hex (other programs may write
    other digests). `extra` keeps what a program wrote beside these fields, under its own names.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    sampler: str = ""
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    model_name: str = ""
    model_hash: str = ""
    loras: tuple[LoraUse, ...] = ()
    init_image_hash: str = ""
    strength: float | None = None
    upscale: float | None = None
    clip_skip: int | None = None
    source: Source = "imagineer"
    extra: dict[str, str] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Ready for json.dumps or a JSONField; fields that say nothing are left out."""
        values = {key: value for key, value in asdict(self).items() if value not in (None, "", (), {})}
        return {"prompt": self.prompt, **values, **({"loras": list(values["loras"])} if self.loras else {})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GenerationParameters":
        """Reads `to_json`'s form from anybody: a value of the wrong kind or size counts as not given."""
        texts = {key: as_text(data.get(key)) for key in _TEXTS}
        return cls(
            **texts,
            seed=as_int(data.get("seed")),
            steps=as_int(data.get("steps"), 0, 100_000),
            guidance=as_float(data.get("guidance")),
            width=as_int(data.get("width"), *_SIDE),
            height=as_int(data.get("height"), *_SIDE),
            loras=_loras(data.get("loras")),
            strength=as_float(data.get("strength")),
            upscale=as_float(data.get("upscale")),
            clip_skip=as_int(data.get("clip_skip"), 0, 100),
            source=as_source(data.get("source")),
            extra=_extra(data.get("extra")),
        )


_TEXTS = tuple(f.name for f in fields(GenerationParameters) if f.type in ("str", str))


def as_source(value: Any) -> Source:
    """ "imagineer" for anything that is not a known program's name."""
    return next((source for source in get_args(Source) if source == value), "imagineer")


def _loras(value: Any) -> tuple[LoraUse, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(lora for item in value[:LORA_LIMIT] if (lora := _lora(item)) is not None)


def _lora(value: Any) -> LoraUse | None:
    if not isinstance(value, Mapping) or not (name := as_text(value.get("name"), 1024)):
        return None
    weight = as_float(value.get("weight", 1.0))
    hashes = {key: as_text(value.get(key), 128) for key in ("hash", "sha256")}
    return LoraUse(name, 1.0 if weight is None else weight, **hashes)


def _extra(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    pairs = list(value.items())[:EXTRA_LIMIT]
    return {as_text(key, 256): as_text(item) for key, item in pairs}
