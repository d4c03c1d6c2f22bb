"""Files that survive a power cut, and names that come from their content."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(target: Path, chunks: Any) -> None:
    """Writes to a temporary name beside `target`, flushes it to the disk, renames it, flushes the folder.

    Django's storage and a plain write followed by a rename can both leave an empty file with the right name after a
    power cut.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


class DurableFileSystemStorage(FileSystemStorage):
    """Keeps what it is given at exactly the name it is given: names are content hashes, so the same name is the
    same content, and a file that is there needn't be written again."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name

    def _save(self, name: str, content: "File[bytes]") -> str:
        target = Path(self.path(name))
        if not target.exists():
            write_durably(target, content.chunks())
        return name.replace("\\", "/")


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
