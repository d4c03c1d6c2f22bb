from gallery.weights.fit import lora_fits
from gallery.weights.hashes import file_sha256, tensors_sha256
from gallery.weights.header import SafetensorsHeader, Tensor, WeightsRefused, read_header
from gallery.weights.info import FAMILY_NAMES, Family, LoraFormat, LoraInfo, ModelInfo, Prediction
from gallery.weights.lora import detect_lora
from gallery.weights.model import detect_model

__all__ = [
    "FAMILY_NAMES",
    "Family",
    "LoraFormat",
    "LoraInfo",
    "ModelInfo",
    "Prediction",
    "SafetensorsHeader",
    "Tensor",
    "WeightsRefused",
    "detect_lora",
    "detect_model",
    "file_sha256",
    "lora_fits",
    "read_header",
    "tensors_sha256",
]
