"""Files of a request as the services take them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gallery.services.uploads import Upload


def arrived(files: Iterable[Any]) -> list[Upload]:
    """`files` are those that imagineer.uploads keeps on the disk while the request lasts."""
    return [Upload(_shown(file.name), Path(file.temporary_file_path()), file.is_too_large) for file in files]


def _shown(name: str | None) -> str:
    """Half a surrogate pair can't be written in any answer."""
    return (name or "unnamed").encode("utf-8", "replace").decode()
