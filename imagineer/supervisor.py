"""Starts the clusters of this machine and keeps them alive: what `manage.py work` runs.

django-q2 alone doesn't notice a cluster that is alive but frozen (killing an idle worker takes the lock of its queue
along). So each cluster gets a canary message every CANARY_SECONDS; when none has come back for SILENCE_SECONDS and no
run in the cluster's hands has moved either, its whole process group is killed and started anew. A worker that is busy
for hours keeps renewing its run's lease, so it isn't silent.
"""

import fcntl
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import IO, Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from imagineer import queue, sweeper
from imagineer.models import Cluster
from imagineer.processes import end_group, signal_group
from imagineer.runs import run_models

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
START_PATIENCE = 3  # times SILENCE_SECONDS: a busy machine takes long to start a cluster


class AlreadyRunning(Exception):
    pass


class ClusterProcess:
    """One django-q2 cluster in a process group of its own, with its row."""

    def __init__(self, name: str) -> None:
        self.queue = name
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self.name = f"{platform.node()}:{name}:{device or 'all'}"
        self._lock = _lock(f"{name}-{device or 'all'}")
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._rung = 0.0
        self._restarts = 0

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "imagineer.cluster", str(os.getpid())],
            cwd=settings.BASE_DIR,
            env={**os.environ, "Q_CLUSTER_NAME": self.queue, "IMAGINEER_CLUSTER": self.name},
            start_new_session=True,
        )
        self._started = time.monotonic()
        now = timezone.now()
        Cluster.objects.update_or_create(
            name=self.name,
            defaults={
                "queue": self.queue,
                "host": platform.node(),
                "pid": self._process.pid,
                "workers": settings.QUEUES[self.queue]["workers"],
                "started_at": now,
                "supervised_at": now,
                "rung_at": None,
                "answered_at": None,
                "moved_at": None,
                "restarts": self._restarts,
                "loaded": "",
            },
        )

    def look(self) -> None:
        """Rings the canary when it is time, and restarts the cluster when it is dead or silent."""
        assert self._process is not None
        if self._process.poll() is not None:
            return self._restart("has ended")
        if time.monotonic() - self._rung >= settings.CANARY_SECONDS:
            self._ring()
        if time.monotonic() - self._started > self._patience() and self._is_silent():
            return self._restart(f"has been silent for {settings.SILENCE_SECONDS:.0f} s")
        return None

    def ask_to_stop(self) -> None:
        """TERM to the main process only: to the whole group it would deadlock the cluster's own shutdown."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def finish(self, deadline: float) -> None:
        """Waits for the end until `deadline` (monotonic), then kills; runs in its hands go back to the queue."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self._kill()
        self._give_back()
        Cluster.objects.filter(name=self.name).delete()

    def _ring(self) -> None:
        self._rung = time.monotonic()
        row = Cluster.objects.filter(name=self.name)
        now = timezone.now()
        moved = {"moved_at": now} if self._moves() else {}
        row.update(supervised_at=now, **moved)
        # One canary at a time: a cluster that is busy for hours must not come back to a thousand of them.
        if not row.unanswered().exists():
            row.update(rung_at=now)
            queue.ring_canary(self.queue, self.name)

    def _is_silent(self) -> bool:
        since = timezone.now() - timedelta(seconds=settings.SILENCE_SECONDS)
        unanswered = Cluster.objects.filter(name=self.name, rung_at__lt=since).unanswered().exists()
        return unanswered and not self._moves()

    def _patience(self) -> float:
        """How old a cluster has to be before its silence counts."""
        answered = Cluster.objects.filter(name=self.name, answered_at__isnull=False).exists()
        return float(settings.SILENCE_SECONDS * (1 if answered else START_PATIENCE))

    def _moves(self) -> bool:
        return any(self._runs(model).filter(lease_until__gt=timezone.now()).exists() for model in run_models())

    def _runs(self, model: Any) -> Any:
        return model.objects.running().filter(lease_owner__startswith=f"{self.name}:")

    def _restart(self, reason: str) -> None:
        logger.error("Cluster %s %s; restarting it.", self.name, reason)
        self._restarts += 1
        self._kill()
        time.sleep(min(10.0, 0.2 * self._restarts))
        self.start()

    def _kill(self) -> None:
        assert self._process is not None
        end_group(self._process.pid, grace=0.0, reap=self._process.poll)
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _give_back(self) -> None:
        for model in run_models():
            for run in self._runs(model):
                if run.release():
                    queue.ring(run)


class Supervisor:
    def __init__(self, queues: list[str]) -> None:
        self._clusters = [ClusterProcess(name) for name in queues]
        self._stopping = False
        self._swept = 0.0

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises AlreadyRunning when this machine's clusters are supervised already."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        self._sweep()
        for cluster in self._clusters:
            cluster.start()
        while not self._stopping:
            self._look()
            time.sleep(LOOK_SECONDS)
        self._stop()

    def _look(self) -> None:
        """A database that is away for a while must not end the supervisor: it looks again."""
        try:
            for cluster in self._clusters:
                cluster.look()
            if time.monotonic() - self._swept >= settings.SWEEP_SECONDS:
                self._sweep()
        except DatabaseError:
            logger.exception("The supervisor can't reach the database; trying again.")
            close_old_connections()

    def _sweep(self) -> None:
        sweeper.sweep()
        self._swept = time.monotonic()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _stop(self) -> None:
        deadline = time.monotonic() + settings.STOP_SECONDS
        for cluster in self._clusters:
            cluster.ask_to_stop()
        for cluster in self._clusters:
            cluster.finish(deadline)


def _lock(name: str) -> IO[str]:
    folder = Path(settings.DATA_DIR) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{name}.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise AlreadyRunning(f"The {name} cluster of this machine is supervised by another process already.") from error
    return file
