"""How the bodies of uploads arrive: straight to the disk, and never more than they may be."""

import tempfile
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousFileOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler


class ArrivedFile(UploadedFile):  # type: ignore[type-arg]  # not subscriptable at run time
    """On the disk under a name of ours. `is_too_large`: there was more than may be kept, and none of it is."""

    is_too_large = False

    def __init__(self, name: str, content_type: str) -> None:
        file: Any = tempfile.NamedTemporaryFile(suffix=".upload", dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115
        super().__init__(file, None, content_type, 0)
        self.name = _display_name(name)

    def temporary_file_path(self) -> str:
        assert self.file is not None
        return str(self.file.name)

    def close(self) -> None:
        with suppress(FileNotFoundError):  # swept
            super().close()


class BoundedUploadHandler(FileUploadHandler):
    """For every request of the site: a body beyond the limit is refused before it is read (413)."""

    file: ArrivedFile

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        content_length = args[2] if len(args) > 2 else kwargs["content_length"]
        if content_length > settings.UPLOAD_REQUEST_BYTES:
            raise RequestDataTooBig(f"A request may have {settings.UPLOAD_REQUEST_BYTES / 2**20:g} MiB.")

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file = ArrivedFile(self.file_name or "", self.content_type or "")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) <= settings.UPLOAD_FILE_BYTES:
            self.file.write(raw_data)
        elif not self.file.is_too_large:
            self.file.is_too_large = True
            self.file.seek(0)
            self.file.truncate()

    def file_complete(self, file_size: int) -> ArrivedFile:
        self.file.seek(0)
        self.file.size = file_size
        return self.file

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


def _display_name(name: str) -> str:
    """For people only. Django takes folders and control characters off; what is left may still be no name."""
    try:
        return str(UploadedFile(name=name).name or "unnamed")
    except SuspiciousFileOperation:
        return "unnamed"
