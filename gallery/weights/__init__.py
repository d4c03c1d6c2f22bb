from gallery.weights.hashes import file_sha256, tensors_sha256
from gallery.weights.header import SafetensorsHeader, Tensor, WeightsRefused, read_header

__all__ = [
    "SafetensorsHeader",
    "Tensor",
    "WeightsRefused",
    "file_sha256",
    "read_header",
    "tensors_sha256",
]
