"""A PostgreSQL server for one command: `python -m tests.postgres COMMAND…` runs it with DATABASE_URL set.

The server listens on a socket in a temporary folder only, and is gone with everything in it afterwards. It never runs
as root, which PostgreSQL refuses: then as the user `postgres`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

OWNER = "postgres"
OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=200"


def programs() -> Path:
    """The folder of initdb and pg_ctl, newest version first; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(versions, key=lambda path: int(path.parts[-3]))
    if found is None and not newest:
        raise FileNotFoundError("initdb: install PostgreSQL's server, on Debian the package postgresql.")
    return Path(found or newest[-1]).parent


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yields the URL of an empty database."""
    bin_folder = programs()
    with tempfile.TemporaryDirectory(prefix="imagineer-postgres-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, OWNER)
        _run(bin_folder / "initdb", "-D", folder / "data", "-U", OWNER, "-A", "trust", "-E", "UTF8", "-N")
        options = f"{OPTIONS} -k {folder}"
        _run(bin_folder / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgres://{OWNER}@{quote(name, safe='')}/postgres"
        finally:
            _run(bin_folder / "pg_ctl", "-D", folder / "data", "-w", "-m", "immediate", "stop")


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    user = OWNER if os.geteuid() == 0 else None
    done = subprocess.run(
        words, user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stdout}{done.stderr}")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    with server() as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
