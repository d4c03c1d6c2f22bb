"""Models and LoRAs: taken in, recognised by their tensors, checked, and matched with each other."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.text import slugify

from gallery.engine.samplers import SAMPLERS
from gallery.models import DiffusionModel, Lora
from gallery.weights import (
    LoraInfo,
    ModelInfo,
    WeightsRefused,
    detect_lora,
    detect_model,
    file_sha256,
    lora_fits,
    tensors_sha256,
)
from imagineer.errors import FieldError, Invalid
from imagineer.models import Event
from imagineer.storage import write_durably

Progress = Callable[[int, int], None]  # bytes done, bytes in all
SUGGESTIONS = "imagineer.json"  # a model's own defaults, beside its model_index.json


def ensure_starter() -> DiffusionModel:
    """Registers the model that ships with the project, or follows it when it has been replaced."""
    model: DiffusionModel | None = DiffusionModel.objects.filter(slug="starter").first()
    if model is None or model.sha256 != model_sha256(settings.STARTER_MODEL) or not model.available:
        model = register_model(settings.STARTER_MODEL, slug="starter", name="Imagineer starter")
    if not DiffusionModel.objects.filter(is_default=True).exists():
        model.make_default()
    return model


def register_model(
    location: Path,
    *,
    slug: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    **fields: Any,
) -> DiffusionModel:
    """Makes or renews the row of a model on this machine. Raises Invalid when it can't be used, with the reason."""
    location = location.resolve()
    info = _recognise_model(location)
    if info.reason:
        raise Invalid(FieldError("location", info.reason))
    slug = slugify(slug or location.stem)[:80]
    model, _ = DiffusionModel.objects.update_or_create(
        slug=slug,
        defaults={
            "name": name or location.stem,
            "kind": info.kind,
            "location": str(location),
            "sha256": model_sha256(location, progress),
            "bytes": sum(path.stat().st_size for path in _weight_files(location)),
            "modules": info.modules,
            "family": info.family,
            "cross_attention_dim": info.cross_attention_dim,
            "prediction_type": info.prediction_type or "",
            "reason": "",
            **_default_parameters(location, info),
            **fields,
        },
    )
    return model


def check_model(model: DiffusionModel) -> str:
    """Looks at a model's files again; what is wrong becomes its `reason`, which is returned."""
    location = Path(model.location)
    try:
        info = detect_model(location)
        reason = info.reason or ""
        if not reason and model_sha256(location) != model.sha256:
            reason = "Its files have changed since it was added; add it again."
    except OSError as error:
        reason = f"{model.location} can't be read: {error.strerror}."
    DiffusionModel.objects.filter(pk=model.pk).update(reason=reason[:500])
    model.reason = reason[:500]
    return reason


def register_lora(path: Path, *, user: Any = None, name: str | None = None, **fields: Any) -> Lora:
    """Copies a LoRA file into the store and makes its row; the same file again is the same row. Raises Invalid."""
    try:
        info = detect_lora(path)
    except WeightsRefused as refusal:
        raise Invalid(FieldError("file", refusal.reason)) from refusal
    except OSError as error:
        raise Invalid(FieldError("file", f"{path} can't be read: {error.strerror}.")) from error
    if info.reason:
        raise Invalid(FieldError("file", info.reason))
    sha256 = file_sha256(path)
    known: Lora | None = Lora.objects.filter(sha256=sha256).first()
    if known is not None:
        return known
    lora = Lora(sha256=sha256, tensors_sha256=tensors_sha256(path), created_by=user, **_lora_fields(path, info, name))
    for field, value in fields.items():
        setattr(lora, field, value)
    with path.open("rb") as source:
        write_durably(lora.path, iter(lambda: source.read(1 << 20), b""))
    lora.path.chmod(0o644)
    lora.save(force_insert=True)
    Event.record(user, "add LoRA", lora)
    return lora


def why_lora_does_not_fit(lora: Lora, model: DiffusionModel) -> str:
    """A sentence, empty when the LoRA can be used with the model."""
    wanted = LoraInfo(
        name=lora.name,
        family=lora.family,  # type: ignore[arg-type]  # a choice of the field is a name of the family
        cross_attention_dim=lora.cross_attention_dim,
        modules=_shapes(lora.modules),
    )
    offered = ModelInfo(
        name=model.slug,
        kind="folder",
        family=model.family,  # type: ignore[arg-type]
        cross_attention_dim=model.cross_attention_dim,
        modules=_shapes(model.modules),
    )
    return lora_fits(wanted, offered) or ""


def model_sha256(location: Path, progress: Progress | None = None) -> str:
    """Of a single file its SHA-256; of a folder that of the sorted lines "SHA-256  name" of its weights."""
    if location.is_file():
        return file_sha256(location, progress)
    lines = [
        f"{file_sha256(path, progress)}  {path.relative_to(location).as_posix()}\n" for path in _weight_files(location)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _recognise_model(location: Path) -> ModelInfo:
    try:
        return detect_model(location)
    except OSError as error:
        raise Invalid(FieldError("location", f"{location} can't be read: {error.strerror}.")) from error


def _weight_files(location: Path) -> list[Path]:
    if location.is_file():
        return [location]
    return sorted(location.rglob("*.safetensors"))


def _default_parameters(location: Path, info: ModelInfo) -> dict[str, Any]:
    """The model's own suggestions where it has some, else what the field uses for its family."""
    side = info.default_size or {"sdxl": 1024}.get(info.family, 512)
    usual = {
        "width": side,
        "height": side,
        "steps": 25,
        "guidance": 7.0,
        "sampler": "DPM++ 2M Karras",
        "upscale": 1,
    }
    path = location / SUGGESTIONS
    if not path.is_file():
        return usual
    suggested = json.loads(path.read_text(encoding="utf-8"))
    parameters = {name: suggested.get("defaults", {}).get(name, value) for name, value in usual.items()}
    if parameters["sampler"] not in SAMPLERS:
        parameters["sampler"] = usual["sampler"]
    return {**parameters, "licence": str(suggested.get("licence", ""))[:200]}


def _lora_fields(path: Path, info: LoraInfo, name: str | None) -> dict[str, Any]:
    title = (name or info.title or path.stem)[:120]
    weight = 1.0 if info.default_weight is None else max(-2.0, min(2.0, info.default_weight))
    return {
        "slug": _free_slug(title),
        "name": title,
        "family": info.family,
        "cross_attention_dim": info.cross_attention_dim,
        "format": info.format,
        "bytes": path.stat().st_size,
        "rank": info.rank,
        "alpha": info.alpha,
        "trigger_words": info.trigger_words,
        "default_weight": weight,
        "metadata": info.metadata,
        "modules": info.modules,
    }


def _free_slug(title: str) -> str:
    base = slugify(title)[:70] or "lora"
    slug, number = base, 2
    while Lora.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug


def _shapes(stored: dict[str, list[int]]) -> dict[str, tuple[int, int]]:
    return {name: (sides[0], sides[1]) for name, sides in stored.items()}
