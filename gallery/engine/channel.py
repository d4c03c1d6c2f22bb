"""Lines in and out of the engine's process."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

from gallery.engine.errors import Cancelled
from gallery.engine.protocol import MAX_LINE

Message = dict[str, Any]
_JOBS = ("generate", "upscale")
_PIECE = 1 << 16


def take_stdout() -> BinaryIO:
    """The real standard output; from here on everything that others print goes to standard error."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return out


class Channel:
    """A thread reads requests, so that a cancel is seen while a job runs. `inbox` gets None at the end."""

    def __init__(self, source: int, sink: BinaryIO) -> None:
        self.inbox: SimpleQueue[Message | None] = SimpleQueue()
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._cancelled: set[str] = set()
        self._closing = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def close(self) -> None:
        """Ends the running job within a step and then the engine; safe in a signal handler."""
        self._closing.set()
        self.inbox.put(None)

    def receive(self, timeout: float | None) -> Message | None:
        """The next request; None when the engine should end. Raises queue.Empty after `timeout` seconds."""
        message = self.inbox.get(timeout=timeout)
        return None if self._closing.is_set() else message

    def send(self, message: Message) -> None:
        """Writes one line. A reader that went away closes the engine."""
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            try:
                while line:
                    line = line[self._sink.write(line) :]
            except (BrokenPipeError, ValueError):
                self.close()

    def check(self, job: str) -> None:
        """Raises Cancelled when the job should go no further."""
        if self._closing.is_set() or job in self._cancelled:
            raise Cancelled

    def finish(self, job: str) -> None:
        self._waiting.discard(job)
        self._cancelled.discard(job)

    def _read(self) -> None:
        for line in read_lines(self._source):
            message = _parse(line)
            if message is None:
                self.send(_refusal())
            elif message.get("op") == "shutdown":
                break
            else:
                self._take(message)
        self.close()

    def _take(self, message: Message) -> None:
        op, job = message.get("op"), message.get("job")
        if op == "cancel":
            if isinstance(job, str) and job in self._waiting:
                self._cancelled.add(job)
            return
        if op in _JOBS and isinstance(job, str):
            self._waiting.add(job)
        self.inbox.put(message)


def read_lines(source: int) -> Iterator[bytes]:
    """Lines of a file descriptor without their ends; of one longer than MAX_LINE only so much.

    No buffered file object: its lock, held by a thread that waits for input, would abort Python at exit.
    """
    pending = b""
    while piece := os.read(source, _PIECE):
        *lines, rest = (pending + piece).split(b"\n")
        yield from lines
        pending = rest[: MAX_LINE + 1]
    if pending:
        yield pending


def _parse(line: bytes) -> Message | None:
    if len(line) > MAX_LINE:
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _refusal() -> Message:
    rule = f"A request must be one JSON object on a line of at most {MAX_LINE >> 20} MiB."
    return {"type": "error", "job": None, "kind": "invalid", "message": rule}


__all__ = ["Channel", "Empty", "Message", "take_stdout"]
