"""The two digests by which the field names weights."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from gallery.weights.header import read_header

_PIECE = 4 * 1024 * 1024


def file_sha256(path: str | Path, progress: Callable[[int, int], None] | None = None) -> str:
    """64 hex of the whole file; its first 10 are A1111's model hash. `progress(done, total)` counts bytes."""
    path = Path(path)
    with path.open("rb") as file:
        return _digest(file, path.stat().st_size, progress)


def tensors_sha256(path: str | Path, progress: Callable[[int, int], None] | None = None) -> str:
    """64 hex of the bytes after the safetensors header; the first 12 are A1111's LoRA hash.

    Stays the same when only the metadata of the file is edited. Raises WeightsRefused.
    """
    header = read_header(path)
    with header.path.open("rb") as file:
        file.seek(header.data_start)
        return _digest(file, header.file_size - header.data_start, progress)


def _digest(file: BinaryIO, total: int, progress: Callable[[int, int], None] | None) -> str:
    digest, done = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        done += len(piece)
        if progress:
            progress(done, total)
    return digest.hexdigest()
