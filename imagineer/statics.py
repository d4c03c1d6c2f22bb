"""Static files with hashed names, and gzip beside them."""

from typing import Any

from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    def create_compressor(self, **options: Any) -> Compressor:
        """Without Brotli, which takes a minute over the API's documentation, and without source maps."""
        skipped = {*Compressor.SKIP_COMPRESS_EXTENSIONS, "map"}
        return Compressor(**{**options, "extensions": skipped, "use_brotli": False})
