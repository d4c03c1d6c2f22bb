"""Loads a whole model from one .safetensors file, without the network."""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from gallery.engine.devices import Device
from gallery.engine.errors import EngineError
from gallery.engine.files import checked_header, read_config
from gallery.engine.models import LoadedModel, Notice, with_prediction
from gallery.engine.protocol import ModelSpec
from gallery.weights import SafetensorsHeader

DATA = Path(__file__).with_name("configs")
CLIP_WINDOW = 77
State = dict[str, torch.Tensor]


def load_single_file(spec: ModelSpec, path: Path, device: Device, notice: Notice, configs: Path = DATA) -> LoadedModel:
    """`configs` holds a folder per family with the components' configurations."""
    header = checked_header(path, "model")
    folder = configs / spec.family
    notice("weights")
    state = load_file(path)
    notice("text encoder")
    encoders = [_encoder(state, folder, name, device) for name in _encoder_names(spec)]
    notice("UNet")
    unet = _part(UNet2DConditionModel, state, folder, "unet", device.dtype)
    notice("autoencoder")
    upcast = bool(read_config(folder / "vae" / "config.json").get("force_upcast"))
    vae = _part(AutoencoderKL, state, folder, "vae", device.vae_dtype(force_upcast=upcast))
    config = read_config(folder / "scheduler" / "scheduler_config.json") | stated_prediction(header)
    return LoadedModel(
        spec=spec,
        device=device,
        unet=unet,
        vae=vae,
        text_encoders=encoders,
        tokenizers=_tokenizers(spec),
        scheduler_config=with_prediction(config, spec),
        zero_empty_negative=spec.family == "sdxl",
    )


def stated_prediction(header: SafetensorsHeader) -> dict[str, Any]:
    """What the file itself says about its noise schedule: marker tensors of SDXL v-prediction
    models, or ModelSpec.
    """
    stated: dict[str, Any] = {}
    word = header.metadata.get("modelspec.prediction_type", "")
    architecture = header.metadata.get("modelspec.architecture", "")
    if "v_pred" in header.tensors or word.startswith("v") or "768-v" in architecture:
        stated["prediction_type"] = "v_prediction"
    elif word.startswith("eps") or "v2-512" in architecture:
        stated["prediction_type"] = "epsilon"
    if "ztsnr" in header.tensors:
        stated |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return stated


@cache
def clip_tokenizer(pad: str) -> Any:
    """CLIP's tokenizer from its merges: 256 bytes, the same at a word's end, the merges, two marks."""
    pairs: list[Any] = [tuple(line.split(" ")) for line in _merges()]
    letters = _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in pairs)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, pad_token=pad, model_max_length=CLIP_WINDOW)


def _merges() -> list[str]:
    return lzma.decompress((DATA / "clip_merges.txt.xz").read_bytes()).decode("utf-8").splitlines()


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte, in the vocabulary's order: bytes that print
    well come first.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _tokenizers(spec: ModelSpec) -> list[Any]:
    ends, exclamation = "<|endoftext|>", "!"
    pads = {"sd1": [ends], "sd2": [exclamation], "sdxl": [ends, exclamation]}
    return [clip_tokenizer(pad) for pad in pads[spec.family]]


def _encoder_names(spec: ModelSpec) -> list[str]:
    return ["text_encoder", "text_encoder_2"] if spec.family == "sdxl" else ["text_encoder"]


def _encoder(state: State, folder: Path, name: str, device: Device) -> Any:
    cls = CLIPTextModelWithProjection if name == "text_encoder_2" else CLIPTextModel
    encoder = create_diffusers_clip_model_from_ldm(  # type: ignore[no-untyped-call]
        cls, dict(state), subfolder=name, config=str(folder), local_files_only=True
    )
    if any(value.is_meta for value in encoder.parameters()):
        raise _incomplete(name)
    return encoder.to(device.dtype)


def _part(cls: Any, state: State, folder: Path, name: str, dtype: torch.dtype) -> Any:
    try:
        part = cls.from_single_file(dict(state), config=str(folder), subfolder=name, local_files_only=True)
    except NotImplementedError as error:  # torch's word for moving weights that have no data
        raise _incomplete(name) from error
    return part.to(dtype)


def _incomplete(name: str) -> EngineError:
    return EngineError("model", f"The file is not a whole model: it lacks weights of its {name}; get it again.")
