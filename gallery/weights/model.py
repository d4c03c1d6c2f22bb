"""What a model is, told from its files: a diffusers folder or a single safetensors file."""

from pathlib import Path

from gallery.weights.folder import detect_folder
from gallery.weights.header import WeightsRefused
from gallery.weights.info import ModelInfo
from gallery.weights.single import detect_file


def detect_model(path: str | Path) -> ModelInfo:
    """Reads headers and configurations only. Raises OSError when there is nothing at `path`.

    A model that can't be used is no exception: its `reason` says why.
    """
    path = Path(path)
    if path.is_dir():
        return detect_folder(path)
    try:
        return detect_file(path)
    except WeightsRefused as refusal:
        return ModelInfo(path.stem, "file", reason=refusal.reason)
