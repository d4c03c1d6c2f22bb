"""The key that signs sessions, made on first start and kept beside the data."""

import os
import secrets
from pathlib import Path


def kept_secret_key(path: Path) -> str:
    """Reads the key in `path`, or makes one there that only its owner can read.

    Two processes that start at the same moment agree: the one that links its file first wins.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
