"""A started Imagineer, web and workers, as a person starts it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from imagineer.probe import is_healthy
from tests.studio import QUICK, ROOT, wait_until

MANAGE = (sys.executable, "manage.py", "run")
MAKE = ("make", "--no-print-directory", "run", f"VENV={Path(sys.prefix)}")
START_SECONDS = 90


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Served:
    """`with Served(folder) as site:` starts it in a session of its own and leaves nothing behind."""

    def __init__(self, data: Path, *, command: Sequence[str] = MANAGE, port: int | None = None, **env: str) -> None:
        self.data = data
        self.port = port or free_port()
        self.command = command
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "MAKEFLAGS")}
        self.env = {**kept, **QUICK, "IMAGINEER_DATA_DIR": str(data), "PORT": str(self.port), **env}
        self._lines: list[str] = []

    def __enter__(self) -> "Served":
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        for process in [*self.processes(), self.process]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_ready(self) -> float:
        """Seconds it took."""
        wait_until(lambda: "Ctrl-C stops it." in self.output or self._ended(), START_SECONDS, "not ready")
        assert not self._ended(), self.output
        return time.monotonic() - self.began

    def is_healthy(self) -> bool:
        return is_healthy("127.0.0.1", self.port)

    def wait_end(self, seconds: float = 45) -> int:
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def signal_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def processes(self) -> list[psutil.Process]:
        """All that carry this data folder in their environment, wherever they hang in the tree."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("IMAGINEER_DATA_DIR") == str(self.data)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def service(self, *words: str) -> psutil.Process:
        """The child of `manage.py run` that runs these words."""
        run = next(each for each in self.processes() if "run" in each.cmdline() and "manage.py" in each.cmdline())
        return next(child for child in run.children() if set(words) <= set(child.cmdline()))

    def assert_nothing_left(self) -> None:
        psutil.wait_procs(self.processes(), timeout=3)
        assert [process.cmdline() for process in self.processes()] == []

    def printed_password(self) -> str | None:
        found = re.search(r"^Password: (\S+)", self.output, re.MULTILINE)
        return found[1] if found else None

    def _ended(self) -> bool:
        return self.process.poll() is not None
