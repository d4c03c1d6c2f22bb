"""Single-file checkpoints: UNet, VAE and text encoders under the original code's names."""

from collections.abc import Iterable
from pathlib import Path
from statistics import pstdev

from gallery.weights.header import SafetensorsHeader, Tensor, read_header
from gallery.weights.info import (
    FAMILY_WIDTHS,
    REFINER_WIDTH,
    Family,
    ModelInfo,
    Prediction,
    Shapes,
)
from gallery.weights.names import modules_of
from gallery.weights.numbers import read_numbers

_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
_CLIP_L = "cond_stage_model.transformer."
_OPEN_CLIP = "cond_stage_model.model."
_EMBEDDERS = ("conditioner.embedders.0.", "conditioner.embedders.1.")
# One tensor from each end of a component shows that it is there and not cut.
_SENTINELS = {
    "UNet": (f"{_UNET}input_blocks.0.0.weight", f"{_UNET}out.2.weight"),
    "VAE": (f"{_VAE}encoder.conv_in.weight", f"{_VAE}decoder.conv_out.weight"),
}
_OTHER_KINDS = (
    ("lora_down.weight", "a LoRA; add it with `loras add`"),
    ("lora_A.weight", "a LoRA; add it with `loras add`"),
    ("lora.down.weight", "a LoRA; add it with `loras add`"),
    ("double_blocks.0.img_attn", "a Flux model; Imagineer runs SD 1, SD 2 and SDXL"),
    ("joint_blocks.0.", "a Stable Diffusion 3 model; Imagineer runs SD 1, SD 2 and SDXL"),
    ("control_model.", "a ControlNet, which makes no pictures by itself"),
    ("controlnet_cond_embedding", "a ControlNet, which makes no pictures by itself"),
    ("emb_params", "a textual inversion embedding, not a model"),
    ("decoder.conv_out.weight", "only a VAE; add a whole model"),
    ("down_blocks.0.resnets.0.conv1.weight", "only the UNet of a model; add the whole diffusers folder"),
)
# Relatives of the three families that need other samplers or inputs, by a tensor that only they have.
_VARIANTS = (
    ("sdxl", "edm_mean", "a model with the EDM noise schedule (Playground 2.5)"),
    ("sdxl", "edm_vpred.sigma_max", "a model with the EDM noise schedule (CosXL)"),
    ("sd2", f"{_UNET}label_emb.0.0.weight", "an unCLIP model"),
)
_EPSILON_SIZES = {"sd1": 512, "sd2": 512, "sdxl": 1024}
# ComfyUI's threshold on SD 2: the last attention's norm spreads wider in the v-prediction model.
_V_PREDICTION_SPREAD = 0.09
_SPREAD_KEY = f"{_UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"


def detect_file(path: Path) -> ModelInfo:
    """Raises WeightsRefused for a file that is not sound safetensors."""
    header = read_header(path)
    width = cross_attention_width(header.tensors.items(), _UNET)
    if width is None:
        return ModelInfo(path.stem, "file", reason=f"{path.name} is {_other_kind(header)}.")
    family = _family(header.tensors)
    prediction, notes = _prediction(header, family)
    missing = _missing(header.tensors, family)
    return ModelInfo(
        name=path.stem,
        kind="file",
        family=family,
        cross_attention_dim=width,
        prediction_type=prediction,
        default_size=_default_size(family, prediction),
        components=_components(header.tensors),
        missing=missing,
        reason=_reason(header, family, width, missing),
        notes=notes,
        modules=_modules(header.tensors, family),
    )


def _default_size(family: Family, prediction: Prediction | None) -> int | None:
    if prediction is None:
        return None
    return 768 if (family, prediction) == ("sd2", "v_prediction") else _EPSILON_SIZES.get(family)


def cross_attention_width(tensors: Iterable[tuple[str, Tensor]], prefix: str) -> int | None:
    for key, tensor in tensors:
        if key.startswith(prefix) and key.endswith(".attn2.to_k.weight") and len(tensor.shape) == 2:
            return tensor.shape[1]
    return None


def _other_kind(header: SafetensorsHeader) -> str:
    for part, sentence in _OTHER_KINDS:
        if any(part in key for key in header.tensors):
            return sentence
    return "of a kind Imagineer doesn't know; it runs SD 1, SD 2 and SDXL"


def _family(tensors: dict[str, Tensor]) -> Family:
    for prefix, family in ((_EMBEDDERS[0], "sdxl"), (_OPEN_CLIP, "sd2"), (_CLIP_L, "sd1")):
        if any(key.startswith(prefix) for key in tensors):
            return family  # type: ignore[return-value]  # the three literals above
    width = cross_attention_width(tensors.items(), _UNET)
    return FAMILY_WIDTHS.get(width or 0, "unknown")


def _prediction(header: SafetensorsHeader, family: Family) -> tuple[Prediction | None, list[str]]:
    """ModelSpec's words, the marker tensor of SDXL v-prediction models, else the family's habit."""
    stated = header.metadata.get("modelspec.prediction_type", "")
    architecture = header.metadata.get("modelspec.architecture", "")
    if stated.startswith("v") or "768-v" in architecture or "v_pred" in header.tensors:
        return "v_prediction", []
    if stated.startswith("eps") or "v2-512" in architecture or family != "sd2":
        return "epsilon", []
    return _sd2_prediction(header)


def _sd2_prediction(header: SafetensorsHeader) -> tuple[Prediction | None, list[str]]:
    tensor = header.tensors.get(_SPREAD_KEY)
    if tensor is None:
        return None, ["The file doesn't say whether it predicts noise or velocity; try both settings."]
    with header.path.open("rb") as file:
        values = read_numbers(file, tensor)
    wide = bool(values) and pstdev(values) > _V_PREDICTION_SPREAD
    return "v_prediction" if wide else "epsilon", ["The prediction type is told from the weights' spread."]


def _missing(tensors: dict[str, Tensor], family: Family) -> list[str]:
    missing = [name for name, keys in _SENTINELS.items() if not all(key in tensors for key in keys)]
    encoders = _EMBEDDERS if family == "sdxl" else (_OPEN_CLIP if family == "sd2" else _CLIP_L,)
    for number, prefix in enumerate(encoders, start=1):
        if not any(key.startswith(prefix) for key in tensors):
            missing.append("text encoder" if number == 1 else f"text encoder {number}")
    return missing


def _reason(header: SafetensorsHeader, family: Family, width: int, missing: list[str]) -> str | None:
    name = header.path.name
    if family == "sdxl" and width == REFINER_WIDTH:
        return f"{name} is the SDXL refiner, which only reworks pictures; add the base model."
    if FAMILY_WIDTHS.get(width) != family:
        return (
            f"{name} has cross-attention width {width}, which no SD 1 (768), SD 2 (1024) or SDXL (2048) file"
            " has; convert it to a diffusers folder."
        )
    if missing:
        return f"{name} lacks its {' and its '.join(missing)}; get the full checkpoint."
    variant = next((kind for of, key, kind in _VARIANTS if of == family and key in header.tensors), None)
    if variant:
        return f"{name} is {variant}, which Imagineer doesn't run."
    channels = header.tensors[f"{_UNET}input_blocks.0.0.weight"].shape[1:2]
    if channels != (4,):
        return (
            f"{name} takes {channels[0] if channels else 0} input channels (an inpainting, depth or editing"
            " model); Imagineer runs models with 4."
        )
    return None


def _components(tensors: dict[str, Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for key, tensor in tensors.items():
        name = _component(key)
        sizes[name] = sizes.get(name, 0) + tensor.end - tensor.start
    return sizes


def _component(key: str) -> str:
    if key.startswith(_UNET):
        return "unet"
    if key.startswith(_VAE):
        return "vae"
    if key.startswith(("cond_stage_model.", _EMBEDDERS[0])):
        return "text_encoder"
    return "text_encoder_2" if key.startswith(_EMBEDDERS[1]) else "other"


def _modules(tensors: dict[str, Tensor], family: Family) -> Shapes:
    """OpenCLIP encoders fuse query, key and value, so only CLIP-L's modules can be compared with a LoRA's."""
    clip = f"{_EMBEDDERS[0]}transformer." if family == "sdxl" else _CLIP_L
    return {**modules_of(tensors, _UNET, "unet"), **modules_of(tensors, clip, "te")}
