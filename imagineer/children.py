"""Heavy work runs in child processes that speak JSON lines; this starts, feeds, watches and ends them.

Messages from a child have a `type`: progress, artifact, log, result, error, cancelled. Whatever it writes to stderr
lands in the log file of the run it is working on.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from imagineer.processes import end_group
from imagineer.runs import Run, RunFailed

Message = dict[str, Any]
LINE_LIMIT = 8 * 1024 * 1024
LOG_LIMIT = 5 * 1024 * 1024
CANCEL_GRACE = 2.0  # seconds a child has to end a cancelled job by itself
END_GRACE = 2.0
_GONE: Message = {"type": "gone"}


class Child:
    """A child process running `python -m MODULE`, in its own process group."""

    def __init__(self, module: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.log: Path | None = None
        self._inbox: queue.Queue[Message] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "imagineer.child_entry", str(os.getpid()), module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=settings.BASE_DIR,
            env={**_child_environment(), **(env or {})},
        )
        threading.Thread(target=self._read_messages, daemon=True).start()
        threading.Thread(target=self._read_log, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_sentence(self) -> str:
        code = self._process.wait()
        if code == -9:
            return "was killed, most likely because the machine ran out of memory"
        return f"died of signal {-code}" if code < 0 else f"ended with code {code}"

    def send(self, message: Message) -> None:
        """Raises RunFailed when the child is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, OSError) as error:
            raise RunFailed(f"The child process {self.exit_sentence}.") from error

    def receive(self, timeout: float) -> Message | None:
        """The next message, None after `timeout` seconds, `{"type": "gone"}` when the child has ended."""
        try:
            return self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def end(self, grace: float = END_GRACE) -> None:
        """Ends the child and all it has started. Its readers close the pipes when they meet their ends."""
        if self.is_alive:
            end_group(self.pid, grace=grace, reap=self._process.poll)
        self._process.wait()
        assert self._process.stdin is not None
        _close(self._process.stdin)

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(LINE_LIMIT):
            try:
                message = json.loads(line)
                if not isinstance(message, dict):
                    raise ValueError("not an object")
            except ValueError:
                message = {"type": "log", "message": line[:500].decode(errors="replace")}
            self._inbox.put(message)
        self._inbox.put(_GONE)
        _close(self._process.stdout)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        while line := self._process.stderr.readline(LINE_LIMIT):
            append_log(self.log, line)
        _close(self._process.stderr)


def append_log(path: Path | None, line: bytes) -> None:
    if path is None or (path.exists() and path.stat().st_size > LOG_LIMIT):
        return
    with suppress(OSError):  # a full disk must not take the log's reader down: the run itself says what is wrong
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(line)


def log_path(run: Run) -> Path:
    return Path(settings.DATA_DIR) / "logs" / run._meta.label_lower / f"{run.pk}.log"


def supervise(
    run: Run, child: Child, request: Message, handle: Callable[[Message], None], *, silence: float
) -> Message:
    """Gives a child one job and sees it through; returns its `result` message.

    Keeps the lease alive, passes `progress`, `artifact` and `log` messages to `handle`, and ends the child when the
    run is cancelled and the child doesn't stop by itself, when the lease is lost, or after `silence` seconds without a
    word. Raises RunFailed, RunCancelled or LeaseLost; the child lives on only if it ended the job itself.
    """
    child.log = log_path(run)
    child.send(request)
    try:
        return _follow(run, child, request, handle, silence)
    except _JobOver:
        raise
    except BaseException:
        _stop_job(child, str(request["job"]))
        raise


class _JobOver(RunFailed):
    """The child has ended the job, or itself: there is nothing to stop."""


def _follow(run: Run, child: Child, request: Message, handle: Callable[[Message], None], silence: float) -> Message:
    pulse = Pulse(run)
    heard = time.monotonic()
    while True:
        message = child.receive(timeout=0.25)
        pulse.beat()
        if message is None:
            if time.monotonic() - heard > silence:
                child.end()
                raise _JobOver(f"The child process said nothing for {silence:.0f} s and was ended.")
            continue
        heard = time.monotonic()
        kind = message.get("type")
        if kind == "gone":
            raise _JobOver(f"The child process {child.exit_sentence}.")
        if message.get("job") != request["job"]:
            continue
        if kind == "result":
            return message
        if kind in ("error", "cancelled"):
            run.renew()  # raises RunCancelled when that is why
            raise _JobOver(str(message.get("message", "The child process gave up without a reason.")))
        handle(message)


class Pulse:
    """Renews a run's lease often enough, and hears of a cancel within a second."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.every = min(1.0, settings.LEASE_SECONDS / 4)
        self.last = 0.0

    def beat(self) -> None:
        if time.monotonic() - self.last >= self.every:
            self.run.renew()
            self.last = time.monotonic()


def _stop_job(child: Child, job: str) -> None:
    """Asks the child to drop the job, so that a loaded model survives; ends it when it doesn't listen."""
    deadline = time.monotonic() + CANCEL_GRACE
    try:
        child.send({"op": "cancel", "job": job})
    except RunFailed:
        return
    while time.monotonic() < deadline:
        message = child.receive(timeout=0.1)
        if message is None or message.get("job") not in (job, None):
            continue
        if message.get("type") in ("cancelled", "result", "error", "gone"):
            return
    child.end()


def _child_environment() -> dict[str, str]:
    """What a child needs to know of the environment: nothing secret."""
    secret = ("SECRET", "PASSWORD", "TOKEN", "DATABASE_URL", "REDIS_URL", "DSN", "S3_", "EMAIL_")
    kept = {name: value for name, value in os.environ.items() if not any(word in name for word in secret)}
    return {**kept, "IMAGINEER_ROOT": str(settings.BASE_DIR), "PYTHONUNBUFFERED": "1"}


def _close(stream: Any) -> None:
    with suppress(OSError):
        stream.close()
