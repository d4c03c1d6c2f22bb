"""Loads Stable Diffusion models (1.x, 2.x, SDXL) from a diffusers folder or from the local hub cache.

The components are built one by one from classes named here: whatever a model's own index says, no other
code runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from gallery.engine.devices import Device
from gallery.engine.errors import Cancelled, EngineError, is_out_of_memory
from gallery.engine.files import fingerprint, read_config, weight_files
from gallery.engine.protocol import ModelSpec

Notice = Callable[[str], None]


@dataclass
class LoadedModel:
    """Text encoders and tokenizers are one each for SD 1 and 2, two each for SDXL, in the model's order."""

    spec: ModelSpec
    device: Device
    unet: Any
    vae: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    scheduler_config: dict[str, Any]
    zero_empty_negative: bool = False
    files: tuple[tuple[str, int, int], ...] = ()
    _modules: dict[str, Any] = field(default_factory=dict)

    @property
    def is_sdxl(self) -> bool:
        return self.spec.family == "sdxl"

    @property
    def vae_factor(self) -> int:
        """Pixels of the picture along one side of a latent: 8 for Stable Diffusion, 4 for the
        starter model.
        """
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def place(self) -> None:
        for part in (self.unet, self.vae, *self.text_encoders):
            part.to(self.device.torch_device).eval()


def load_model(spec: ModelSpec, device: Device, notice: Notice) -> LoadedModel:
    """Reads and places the model; `notice` hears before each part and may raise.

    Raises EngineError ("model").
    """
    location = resolve(spec)
    before = fingerprint(location)
    try:
        model = _loader(location)(spec, location, device, notice)
    except (EngineError, Cancelled):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # The loaders complain about a model's files with every kind of exception.
        raise EngineError("model", f"The model {spec.slug} could not be loaded: {_first_line(error)}") from error
    model.files = before
    model.place()
    return model


def _loader(location: Path) -> Callable[[ModelSpec, Path, Device, Notice], LoadedModel]:
    from gallery.engine.single_file import load_single_file

    return load_folder if location.is_dir() else load_single_file


def resolve(spec: ModelSpec) -> Path:
    """The folder or file on this machine that the location names; the network is never asked."""
    path = Path(spec.location)
    if path.is_absolute():
        if path.is_dir() or path.suffix == ".safetensors":
            return path
        raise EngineError(
            "model", f"{path.name} is neither a model folder nor a .safetensors file; add the model again."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(spec.location, revision=spec.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise EngineError(
            "model",
            f"The model {spec.location} is not on this machine; add it with `models add {spec.location}`.",
        ) from error


def load_folder(spec: ModelSpec, folder: Path, device: Device, notice: Notice) -> LoadedModel:
    index = read_config(folder / "model_index.json")
    notice("text encoder")
    encoders = [_load_encoder(folder, "text_encoder", CLIPTextModel, device)]
    tokenizers = [CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)]
    if spec.family == "sdxl":
        encoders.append(_load_encoder(folder, "text_encoder_2", CLIPTextModelWithProjection, device))
        tokenizers.append(CLIPTokenizer.from_pretrained(folder / "tokenizer_2", local_files_only=True))
    notice("UNet")
    unet = _load_part(folder, "unet", UNet2DConditionModel, device.dtype)
    notice("autoencoder")
    upcast = bool(read_config(folder / "vae" / "config.json").get("force_upcast", True))
    vae = _load_part(folder, "vae", AutoencoderKL, device.vae_dtype(force_upcast=upcast))
    return LoadedModel(
        spec=spec,
        device=device,
        unet=unet,
        vae=vae,
        text_encoders=encoders,
        tokenizers=tokenizers,
        scheduler_config=with_prediction(read_config(folder / "scheduler" / "scheduler_config.json"), spec),
        zero_empty_negative=bool(index.get("force_zeros_for_empty_prompt", spec.family == "sdxl")),
    )


def with_prediction(config: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """The registry's word on what the UNet predicts goes before the file's."""
    return config | ({"prediction_type": spec.prediction_type} if spec.prediction_type else {})


def _load_part(folder: Path, name: str, cls: Any, dtype: torch.dtype) -> Any:
    return cls.from_pretrained(
        folder,
        subfolder=name,
        variant=_variant(weight_files(folder, name)),
        torch_dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
    )


def _load_encoder(folder: Path, name: str, cls: Any, device: Device) -> Any:
    return cls.from_pretrained(
        folder,
        subfolder=name,
        variant=_variant(weight_files(folder, name)),
        dtype=device.dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )


def _variant(files: list[Path]) -> str | None:
    return "fp16" if ".fp16" in files[0].name else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
