"""Writes finished pictures: whole or not at all, with everything needed to make them again inside."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from PIL import Image, PngImagePlugin

PNG_LEVEL = 1  # twice as fast as the default 6 for a seventh more bytes


def picture_name(job: str, index: int) -> str:
    """Safe on any file system and unique to the job, whatever the job is called."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "", job)[:40]
    if plain != job:
        plain = f"{plain[:20]}{hashlib.sha256(job.encode()).hexdigest()[:16]}"
    return f"{plain}-{index:02d}.png"


def save_png(picture: Image.Image, path: Path, info: PngImagePlugin.PngInfo | None) -> None:
    """Under a temporary name first, flushed to the disk, then renamed; a failure leaves nothing.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            picture.save(file, "PNG", pnginfo=info, compress_level=PNG_LEVEL)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
