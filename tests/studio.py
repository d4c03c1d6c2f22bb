"""A whole Imagineer for a test: its own data folder, its own database, its own real worker processes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

ROOT = Path(__file__).resolve().parent.parent
QUICK = {
    "IMAGINEER_LEASE_SECONDS": "4",
    "IMAGINEER_CANARY_SECONDS": "1",
    "IMAGINEER_SILENCE_SECONDS": "6",
    "IMAGINEER_SWEEP_SECONDS": "1",
    "IMAGINEER_STOP_SECONDS": "3",
    "IMAGINEER_DEFAULT_WORKERS": "1",
    "IMAGINEER_GENERATIONS_PER_MINUTE": "0",
    "IMAGINEER_ENGINE_THREADS": "1",  # tests share the machine: two threads that wait for each other may wait long
}
LEASE_SECONDS = 4


class Studio:
    """Starts and harms `manage.py work`; the test's own Django looks at the same database and files."""

    def __init__(self, root: Path, template: Path) -> None:
        self.root = root
        shutil.copytree(template, root, dirs_exist_ok=True)
        self.env = {**os.environ, **QUICK, "IMAGINEER_DATA_DIR": str(root), "SECRET_KEY": settings.SECRET_KEY}
        self.env.pop("DATABASE_URL", None)
        self.supervisor: subprocess.Popen[bytes] | None = None

    # Processes -------------------------------------------------------------------------

    def start(self, *queues: str) -> None:
        arguments = [argument for queue in queues or ("generation",) for argument in ("--queue", queue)]
        log = (self.root / "work.log").open("ab")
        self.supervisor = subprocess.Popen(
            [sys.executable, "manage.py", "work", *arguments],
            cwd=ROOT,
            env=self.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.supervisor is not None
        self.supervisor.terminate()
        code = self.supervisor.wait(30)
        self.supervisor = None
        return code

    def kill_everything(self) -> None:
        if self.supervisor is None:
            return
        everything = self.processes()
        self.supervisor.kill()
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.supervisor.wait()
        psutil.wait_procs(everything, timeout=10)
        self.supervisor = None

    def processes(self) -> list[psutil.Process]:
        if self.supervisor is None or self.supervisor.poll() is not None:
            return []
        return psutil.Process(self.supervisor.pid).children(recursive=True)

    def process(self, role: str) -> psutil.Process:
        """main, sentinel, worker, monitor, pusher of the generation cluster, or its engine.

        django-q2's sentinel forks its workers first, then the monitor, then the pusher.
        """
        mains = [each for each in self.processes() if "imagineer.cluster" in each.cmdline()]
        main = next(each for each in mains if each.environ().get("Q_CLUSTER_NAME") == "generation" and _leads(each))
        if role == "main":
            return main
        sentinel = main.children()[0]
        if role == "sentinel":
            return sentinel
        if role == "engine":
            return next(each for each in main.children(recursive=True) if "gallery.engine" in each.cmdline())
        forked = sorted(sentinel.children(), key=lambda each: each.pid)
        return forked[("worker", "monitor", "pusher").index(role)]

    def leftovers(self) -> list[str]:
        """Processes of this studio that are still there, wherever they hang in the tree."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("IMAGINEER_DATA_DIR") == str(
                    self.root
                ):
                    found.append(" ".join(process.cmdline()))
        return found

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120, check=False)

    # What a test waits for ----------------------------------------------------------------

    def wait_ready(self) -> None:
        from imagineer.models import Cluster

        wait_until(lambda: Cluster.objects.filter(answered_at__isnull=False).exists(), 40, "no cluster answered")

    def log(self) -> str:
        return (self.root / "work.log").read_text()


def _leads(process: psutil.Process) -> bool:
    return "imagineer.cluster" not in process.parent().cmdline()


def wait_until(condition: Callable[[], Any], seconds: float, failure: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{failure} within {seconds:.0f} s")


def make_template(folder: Path) -> Path:
    """A data folder with a migrated database and the starter model registered, to be copied per test."""
    env = {**os.environ, "IMAGINEER_DATA_DIR": str(folder)}
    env.pop("DATABASE_URL", None)
    for command in (["migrate", "-v0"], ["shell", "-v0", "-c", _REGISTER]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True, timeout=120)
    return folder


_REGISTER = "from gallery.services.registry import ensure_starter; ensure_starter()"


@contextlib.contextmanager
def joined(root: Path, overrides: Any, blocker: Any) -> Iterator[None]:
    """Points this process's Django at the studio's database and files.

    The tests' own connection is set aside, not closed: closing it would do nothing, or lose a database in memory.
    """
    overrides.DATA_DIR = root
    overrides.MODELS_DIR = root / "models"
    overrides.LEASE_SECONDS = LEASE_SECONDS
    overrides.GENERATIONS_PER_MINUTE = 0
    overrides.STORAGES = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": root / "media"}},
    }
    with blocker.unblock():
        aside, database = connections[DEFAULT_DB_ALIAS], connections.settings[DEFAULT_DB_ALIAS]
        before = database["NAME"]
        del connections[DEFAULT_DB_ALIAS]
        database["NAME"] = str(root / "imagineer.sqlite3")
        try:
            yield
        finally:
            connections[DEFAULT_DB_ALIAS].close()
            database["NAME"] = before
            connections[DEFAULT_DB_ALIAS] = aside


def end(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(5)
