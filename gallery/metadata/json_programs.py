"""InvokeAI, SwarmUI and Fooocus, which write their parameters as JSON."""

from typing import Any

from gallery.metadata.parameters import EXTRA_LIMIT, LORA_LIMIT, GenerationParameters, LoraUse
from gallery.metadata.samplers import from_comfyui, from_invokeai
from gallery.metadata.values import as_float, as_int, as_text, stem

_SIDE = (1, 1_000_000)
_DIGEST_LIMIT = 128


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:LORA_LIMIT] if isinstance(value, list) else []


def _weight(value: Any) -> float:
    weight = as_float(value)
    return 1.0 if weight is None else weight


def _plain(data: dict[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    """What is left of a program's own fields, where it is a text or a number."""
    pairs = [(as_text(key, 256), as_text(value, 4096)) for key, value in data.items() if key not in known]
    return {key: value for key, value in pairs[:EXTRA_LIMIT] if value}


def parse_invokeai(data: dict[str, Any]) -> GenerationParameters:
    """`invokeai_metadata` of versions 3 and later."""
    model = _table(data.get("model"))
    return GenerationParameters(
        prompt=as_text(data.get("positive_prompt")),
        negative_prompt=as_text(data.get("negative_prompt")),
        seed=as_int(data.get("seed")),
        steps=as_int(data.get("steps"), 0, 100_000),
        sampler=from_invokeai(as_text(data.get("scheduler"), 100)),
        guidance=as_float(data.get("cfg_scale")),
        width=as_int(data.get("width"), *_SIDE),
        height=as_int(data.get("height"), *_SIDE),
        model_name=stem(model.get("name") or model.get("model_name")),
        model_hash=as_text(model.get("hash"), _DIGEST_LIMIT),
        loras=tuple(lora for item in _list(data.get("loras")) if (lora := _invokeai_lora(item))),
        strength=as_float(data.get("strength")),
        clip_skip=as_int(data.get("clip_skip"), 0, 100) or None,
        source="invokeai",
        extra=_plain(data, _INVOKEAI_FIELDS),
    )


_INVOKEAI_FIELDS = ("positive_prompt", "negative_prompt", "seed", "steps", "scheduler", "cfg_scale", "width",
                    "height", "strength", "clip_skip")  # fmt: skip


def _invokeai_lora(item: Any) -> LoraUse | None:
    model = _table(_table(item).get("model")) or _table(_table(item).get("lora"))
    name = stem(model.get("name") or model.get("model_name"))
    if not name:
        return None
    return LoraUse(name, _weight(_table(item).get("weight")), as_text(model.get("hash"), _DIGEST_LIMIT))


def parse_invokeai_2(data: dict[str, Any]) -> GenerationParameters:
    """`sd-metadata` of version 2, where a prompt is a list of weighted parts and [brackets] are negative."""
    image = _table(data.get("image"))
    prompt = image.get("prompt")
    parts = [as_text(_table(part).get("prompt")) for part in _list(prompt)] or [as_text(prompt)]
    return GenerationParameters(
        prompt=" ".join(part for part in parts if part),
        seed=as_int(image.get("seed")),
        steps=as_int(image.get("steps"), 0, 100_000),
        sampler=from_invokeai(as_text(image.get("sampler"), 100)),
        guidance=as_float(image.get("cfg_scale")),
        width=as_int(image.get("width"), *_SIDE),
        height=as_int(image.get("height"), *_SIDE),
        model_name=stem(data.get("model_weights")),
        model_hash=as_text(data.get("model_hash"), _DIGEST_LIMIT),
        strength=as_float(image.get("strength")),
        source="invokeai",
    )


def parse_swarmui(data: dict[str, Any]) -> GenerationParameters:
    """Numbers often come as texts; a model's hash counts the tensors only, with 0x before it."""
    params = _table(data.get("sui_image_params"))
    hashes = _swarmui_hashes(data)
    model = as_text(params.get("model"), 1024)
    sampler = as_text(params.get("sampler") or params.get("comfyuisampler"), 100)
    scheduler = as_text(params.get("scheduler") or params.get("comfyuischeduler"), 100)
    return GenerationParameters(
        prompt=as_text(params.get("prompt")),
        negative_prompt=as_text(params.get("negativeprompt")),
        seed=as_int(params.get("seed")),
        steps=as_int(params.get("steps"), 0, 100_000),
        sampler=from_comfyui(sampler, scheduler),
        guidance=as_float(params.get("cfgscale")),
        width=as_int(params.get("width"), *_SIDE),
        height=as_int(params.get("height"), *_SIDE),
        model_name=stem(model),
        model_hash=hashes.get(stem(model), ""),
        loras=_swarmui_loras(params, hashes),
        strength=as_float(params.get("initimagecreativity")),
        clip_skip=_swarmui_clip_skip(params),
        source="swarmui",
        extra=_plain(params, _SWARMUI_FIELDS),
    )


_SWARMUI_FIELDS = ("prompt", "negativeprompt", "model", "seed", "steps", "cfgscale", "width", "height",
                   "sampler", "scheduler", "initimagecreativity", "clipstopatlayer")  # fmt: skip


def _swarmui_hashes(data: dict[str, Any]) -> dict[str, str]:
    models = [_table(item) for item in _list(data.get("sui_models"))]
    pairs = [(stem(model.get("name")), as_text(model.get("hash"), _DIGEST_LIMIT)) for model in models]
    return {name: digest.removeprefix("0x") for name, digest in pairs}


def _swarmui_loras(params: dict[str, Any], hashes: dict[str, str]) -> tuple[LoraUse, ...]:
    names, weights = _swarmui_list(params.get("loras")), _swarmui_list(params.get("loraweights"))
    weights += [1.0] * (len(names) - len(weights))
    pairs = [(stem(name), weight) for name, weight in zip(names, weights, strict=False)]
    return tuple(LoraUse(name, _weight(weight), hashes.get(name, "")) for name, weight in pairs if name)


def _swarmui_list(value: Any) -> list[Any]:
    return value.split(",", LORA_LIMIT)[:LORA_LIMIT] if isinstance(value, str) else list(_list(value))


def _swarmui_clip_skip(params: dict[str, Any]) -> int | None:
    layer = as_int(params.get("clipstopatlayer"), -100, -1)
    return None if layer is None else -layer


def parse_fooocus(data: dict[str, Any]) -> GenerationParameters:
    """Fooocus' own scheme; sizes come as "(1024, 1024)"."""
    width, _, height = as_text(data.get("resolution"), 40).strip("() ").partition(",")
    sampler, scheduler = as_text(data.get("sampler"), 100), as_text(data.get("scheduler"), 100)
    return GenerationParameters(
        prompt=as_text(data.get("prompt")),
        negative_prompt=as_text(data.get("negative_prompt")),
        seed=as_int(data.get("seed")),
        steps=as_int(data.get("steps"), 0, 100_000),
        sampler=from_comfyui(sampler, scheduler),
        guidance=as_float(data.get("guidance_scale")),
        width=as_int(width.strip(), *_SIDE),
        height=as_int(height.strip(), *_SIDE),
        model_name=stem(data.get("base_model")),
        model_hash=as_text(data.get("base_model_hash"), _DIGEST_LIMIT),
        loras=_fooocus_loras(data),
        clip_skip=as_int(data.get("clip_skip"), 0, 100),
        source="fooocus",
        extra=_plain(data, _FOOOCUS_FIELDS),
    )


_FOOOCUS_FIELDS = ("prompt", "negative_prompt", "seed", "steps", "sampler", "scheduler", "guidance_scale",
                   "resolution", "base_model", "base_model_hash", "clip_skip")  # fmt: skip


def _fooocus_loras(data: dict[str, Any]) -> tuple[LoraUse, ...]:
    listed = [_fooocus_lora(item) for item in _list(data.get("loras")) if isinstance(item, list)]
    return tuple(lora for lora in listed or _combined_loras(data) if lora.name)


def _fooocus_lora(item: list[Any]) -> LoraUse:
    """[name, weight, hash], of which the hash is younger."""
    name, weight, digest = (*item, None, None, None)[:3]
    return LoraUse(stem(name), _weight(weight), as_text(digest, _DIGEST_LIMIT))


def _combined_loras(data: dict[str, Any]) -> list[LoraUse]:
    """Files without the list: "lora_combined_1": "name.safetensors : 0.1"."""
    texts = [as_text(value, 1024) for key, value in data.items() if key.startswith("lora_combined_")]
    pairs = [text.rpartition(" : ") for text in texts[:LORA_LIMIT]]
    return [LoraUse(stem(name.strip()), _weight(weight.strip())) for name, _, weight in pairs]
