"""Web and workers as one thing that starts and stops together: what `manage.py run` ends with."""

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from django.conf import settings

from imagineer.probe import is_healthy, site_name
from imagineer.processes import signal_group

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.2
READY_SECONDS = 120.0
SETTLED_SECONDS = 15.0  # a process that ends by itself earlier than this would only do so again
RESTARTS_PER_MINUTE = 5
WEB_GRACE = 8.0  # more than the graceful_timeout of imagineer.web
WORK_GRACE = 15.0  # beyond IMAGINEER_STOP_SECONDS


class ServingFailed(Exception):
    """Its text is for the person at the terminal."""


class Service:
    """A child process in a group of its own, which the kernel kills if this process dies in whatever way."""

    def __init__(self, name: str, *command: str, grace: float, inherit: tuple[int, ...] = ()) -> None:
        self.name = name
        self._command = command
        self._grace = grace
        self._inherit = inherit
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._deaths: list[float] = []

    def start(self) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "imagineer.child_entry", str(os.getpid()), *self._command],
            stdin=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            env={**os.environ, "IMAGINEER_ROOT": str(settings.BASE_DIR)},
            pass_fds=self._inherit,
        )

    def revive(self) -> None:
        """Starts a process that has died once more. Raises ServingFailed when that would be of no use."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return
        self._kill()
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if death > now - 60] + [now]
        hasty = code >= 0 and now - self._started < SETTLED_SECONDS
        if hasty or len(self._deaths) > RESTARTS_PER_MINUTE:
            raise ServingFailed(f"The {self.name} process {_end_of(code)}; everything was stopped.")
        logger.error("The %s process %s; starting it again.", self.name, _end_of(code))
        self.start()

    def stop(self) -> None:
        """TERM to the process alone, which ends its own children in order; KILL to its group if late."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._grace)
        self._kill()

    def _kill(self) -> None:
        assert self._process is not None
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Parent:
    """The process that started this one, when we are to stop with it: `make`, in `make run`."""

    def __init__(self) -> None:
        self._pid = os.getppid()
        self._caught_sigint = _catches_sigint(self._pid)

    def is_leaving(self) -> bool:
        """Interrupted alone, without its process group, make waits for us but doesn't tell us. What tells is
        that it no longer catches SIGINT."""
        return os.getppid() != self._pid or (self._caught_sigint and not _catches_sigint(self._pid))


class Stop:
    """Whether somebody has asked for the end: by a signal, once or often, or by ending the parent."""

    def __init__(self, parent: Parent | None = None) -> None:
        self._asked = False
        self._parent = parent
        self.at_once = True  # until there are children, which have to be stopped in order

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._ask)

    @property
    def asked(self) -> bool:
        return self._asked or (self._parent is not None and self._parent.is_leaving())

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self.at_once:
            sys.exit(0)


def open_listener(host: str, port: int) -> socket.socket:
    """Taken before anything else is done, and kept while a web process is replaced. Raises ServingFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"Port {port} of {host} is in use by another program; stop it, or set PORT to another"
        else:
            reason = f"Can't listen on {host}, port {port}: {error.strerror or error}; see HOST and PORT"
        raise ServingFailed(f"{reason}.") from error


def serve(listener: socket.socket, stop: Stop, *, workers: bool, announce: Callable[[], None]) -> None:
    """Returns after a requested stop, with no process left. Raises ServingFailed."""
    services = [_web(listener), *([_work()] if workers else [])]
    stop.at_once = False
    try:
        for service in services:
            service.start()
        if _wait_until_healthy(services, stop):
            announce()
        while not stop.asked:
            _look_after(services)
    finally:
        for service in services:
            service.stop()


def _web(listener: socket.socket) -> Service:
    bind = f"fd://{listener.fileno()}"
    command = ("gunicorn", "--config", "python:imagineer.web", "--bind", bind)
    return Service("web", *command, grace=WEB_GRACE, inherit=(listener.fileno(),))


def _work() -> Service:
    return Service("worker", "manage", "work", grace=settings.STOP_SECONDS + WORK_GRACE)


def _wait_until_healthy(services: list[Service], stop: Stop) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    site = site_name(settings.ALLOWED_HOSTS)
    while not stop.asked:
        if is_healthy(settings.HOST, settings.PORT, site=site, timeout=2.0):
            return True
        if time.monotonic() > deadline:
            raise ServingFailed(
                f"/healthz has not been well for {READY_SECONDS:.0f} s; everything was stopped. "
                "What the web process said is above."
            )
        _look_after(services)
    return False


def _look_after(services: list[Service]) -> None:
    for service in services:
        service.revive()
    time.sleep(LOOK_SECONDS)


def _end_of(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _catches_sigint(pid: int) -> bool:
    """False also where there is no /proc (SigCgt: proc(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) & 1 << (signal.SIGINT - 1))
