"""Model folders in the layout of diffusers: model_index.json and one folder per component."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gallery.metadata.values import load_object
from gallery.weights.header import Tensor, WeightsRefused, read_header
from gallery.weights.info import (
    FAMILY_NAMES,
    FAMILY_WIDTHS,
    REFINER_WIDTH,
    Family,
    ModelInfo,
    Prediction,
    Shapes,
)
from gallery.weights.names import modules_of
from gallery.weights.single import cross_attention_width

_PIPELINES: dict[str, Family] = {
    "StableDiffusionPipeline": "sd1",  # or sd2: the width of cross-attention decides
    "StableDiffusionImg2ImgPipeline": "sd1",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
}
_WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
_SECOND = ("text_encoder_2", "tokenizer_2")
_JSON_LIMIT = 1_048_576
_SHARD_LIMIT = 64
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")
_PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")


@dataclass
class _Findings:
    """What was seen on the way through a folder; the first problem becomes the model's reason."""

    root: Path
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    components: dict[str, int] = field(default_factory=dict)
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    variant: str | None = None


def detect_folder(root: Path) -> ModelInfo:
    index = _read_json(root / "model_index.json")
    if index is None:
        reason = f"{root.name} has no readable model_index.json; give a diffusers folder or a .safetensors file."
        return ModelInfo(root.name, "folder", missing=["model_index.json"], reason=reason)
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str) or pipeline not in _PIPELINES:
        reason = f"{root.name} is made for {str(pipeline)[:80]}; Imagineer runs SD 1, SD 2 and SDXL."
        return ModelInfo(root.name, "folder", reason=reason)
    found = _Findings(root)
    for name in (*_WEIGHTS, "tokenizer", "tokenizer_2", "scheduler"):
        if _PIPELINES[pipeline] == "sdxl" or name not in _SECOND:
            _look_at(name, found)
    return _info(found, _PIPELINES[pipeline])


def _look_at(name: str, found: _Findings) -> None:
    if name in _WEIGHTS:
        _need_config(name, "config.json", found)
        _look_at_weights(name, found)
    elif name == "scheduler":
        _need_config(name, "scheduler_config.json", found)
    elif not _has_tokenizer(found.root / name):
        found.missing.append(f"{name}/tokenizer.json")


def _has_tokenizer(folder: Path) -> bool:
    pair = (folder / "vocab.json", folder / "merges.txt")
    return (folder / "tokenizer.json").is_file() or all(path.is_file() for path in pair)


def _need_config(name: str, file: str, found: _Findings) -> None:
    config = _read_json(found.root / name / file)
    if config is None:
        found.missing.append(f"{name}/{file}")
    found.configs[name] = config or {}


def _look_at_weights(name: str, found: _Findings) -> None:
    folder, stem = found.root / name, _WEIGHTS[name]
    for variant in (None, "fp16"):
        ending = f".{variant}" if variant else ""
        for files in (
            _single(folder / f"{stem}{ending}.safetensors"),
            _shards(folder / f"{stem}.safetensors.index{ending}.json", found),
        ):
            if files:
                found.variant = found.variant or variant
                _read_weights(name, files, found)
                return
    found.missing.append(f"{name}/{stem}.safetensors")
    pickle = next((path for pattern in _PICKLES for path in sorted(folder.glob(pattern))), None)
    if pickle:
        found.problems.append(
            f"{name} has only {pickle.name}, a Python pickle; pickles can run code, so Imagineer"
            " refuses them: get the safetensors version of the model."
        )


def _single(path: Path) -> list[Path]:
    return [path] if path.is_file() else []


def _shards(index: Path, found: _Findings) -> list[Path]:
    """The files an index names; a name that leads out of the folder is a problem and names nothing."""
    places = (_read_json(index) or {}).get("weight_map")
    if not isinstance(places, dict):
        return []
    names = sorted({str(name) for name in places.values()})
    if len(names) > _SHARD_LIMIT or any(not _is_plain(name) for name in names):
        found.problems.append(f"{index.name} names files outside its folder; get the model again.")
        return []
    files = [index.parent / name for name in names]
    found.missing += [f"{index.parent.name}/{path.name}" for path in files if not path.is_file()]
    return [path for path in files if path.is_file()]


def _is_plain(name: str) -> bool:
    return (
        name.endswith(".safetensors")
        and len(name) <= 200
        and not {"/", "\\", "\0"} & set(name)
        and not name.startswith(".")
    )


def _read_weights(name: str, files: list[Path], found: _Findings) -> None:
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            tensors.update(read_header(path).tensors)
        except WeightsRefused as refusal:
            found.problems.append(f"{name}: {refusal.reason}")
    found.tensors[name] = tensors
    found.components[name] = sum(tensor.end - tensor.start for tensor in tensors.values())


def _info(found: _Findings, base: Family) -> ModelInfo:
    unet = found.tensors.get("unet", {})
    width = cross_attention_width(unet.items(), "") or _stated_width(found)
    family: Family = "sd2" if base == "sd1" and FAMILY_WIDTHS.get(width or 0) == "sd2" else base
    stated = found.configs.get("scheduler", {}).get("prediction_type", "epsilon")
    return ModelInfo(
        name=found.root.name,
        kind="folder",
        family=family,
        cross_attention_dim=width,
        prediction_type=stated if stated in _PREDICTIONS else None,
        default_size=_default_size(found),
        variant=found.variant,
        components=found.components,
        missing=found.missing,
        reason=_reason(found, family, width),
        modules=_modules(found),
    )


def _stated_width(found: _Findings) -> int | None:
    width = found.configs.get("unet", {}).get("cross_attention_dim")
    return width if isinstance(width, int) else None


def _default_size(found: _Findings) -> int | None:
    """Pixels of a side: latents of the UNet times the VAE's halvings."""
    latents = found.configs.get("unet", {}).get("sample_size")
    levels = found.configs.get("vae", {}).get("block_out_channels")
    if not isinstance(latents, int) or not isinstance(levels, list) or not 0 < len(levels) < 10:
        return None
    return latents * 2 ** (len(levels) - 1) if 0 < latents <= 4096 else None


def _reason(found: _Findings, family: Family, width: int | None) -> str | None:
    name = found.root.name
    if found.problems:
        return found.problems[0]
    if found.missing:
        return f"{name} lacks {' and '.join(found.missing[:5])}; get the model again."
    if family == "sdxl" and width == REFINER_WIDTH:
        return f"{name} is the SDXL refiner, which only reworks pictures; add the base model."
    stated = _stated_width(found)
    if width is None or (stated is not None and stated != width):
        return (
            f"unet/config.json of {name} says cross-attention width {stated}, the weights have {width}:"
            f" the files don't belong together; get the {FAMILY_NAMES[family]} model again."
        )
    channels = found.configs["unet"].get("in_channels", 4)
    if channels != 4:
        return (
            f"{name} takes {str(channels)[:20]} input channels (an inpainting, depth or editing model);"
            " Imagineer runs models with 4."
        )
    return None


def _modules(found: _Findings) -> Shapes:
    names = {"unet": "unet", "te": "text_encoder", "te2": "text_encoder_2"}
    shapes: Shapes = {}
    for component, folder in names.items():
        shapes |= modules_of(found.tensors.get(folder, {}), "", component)
    return shapes


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file() or path.stat().st_size > _JSON_LIMIT:
            return None
        return load_object(path.read_text("utf-8"), _JSON_LIMIT)
    except (OSError, UnicodeDecodeError):
        return None
