"""The engine as its parent meets it: a child process and lines of JSON."""

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from gallery.tests.engine.conftest import STARTER

ROOT = STARTER.parents[1]
ENDS = ("result", "error", "cancelled")


class EngineProcess:
    """`preexec` runs in the child before Python starts, for limits."""

    def __init__(self, *options: str, preexec: Any = None) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "gallery.engine", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            preexec_fn=preexec,  # noqa: PLW1509 - the tests start it before they have threads of their own
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.child.stdout
        for line in self.child.stdout:
            self.lines.put(line)
        self.lines.put(b"")

    def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        assert self.child.stdin
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def next(self, timeout: float = 120) -> dict[str, Any]:
        line = self.lines.get(timeout=timeout)
        assert line, "the engine ended"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def ready(self) -> dict[str, Any]:
        """Hello comes first, then ready."""
        hello = self.next()
        assert (hello["type"], hello["pid"]) == ("hello", self.child.pid)
        ready = self.next()
        assert ready["type"] == "ready"
        return ready

    def until_end(self) -> list[dict[str, Any]]:
        """All answers up to and with the one that ends the job."""
        answers = [self.next()]
        while answers[-1]["type"] not in ENDS:
            answers.append(self.next())
        return answers

    def do(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        self.send(message)
        answers = self.until_end()
        assert all(answer["job"] == message.get("job") for answer in answers)
        return answers

    def wait(self, timeout: float = 30) -> int:
        """Waits for the process to end by itself, and closes the pipes."""
        code = self.child.wait(timeout)
        self.reader.join(10)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe
            pipe.close()
        return code

    def close(self) -> int:
        """Ends it as a parent that has no more work does."""
        assert self.child.stdin
        self.child.stdin.close()
        return self.wait()

    def stop(self) -> None:
        """Whatever happened in a test, nothing remains."""
        self.child.kill()
        self.wait()


def generate(folder: Path, job: str = "job", **changes: Any) -> dict[str, Any]:
    return {
        "op": "generate",
        "job": job,
        "model": {"slug": "starter", "location": str(STARTER), "family": "sd1", "sha256": "ab" * 32},
        "prompt": "red heart, 3d style",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "steps": 4,
        "guidance": 4,
        "sampler": "DDIM",
        "seed": 0,
        "count": 1,
        "out_dir": str(folder),
        **changes,
    }


def artifacts(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer for answer in answers if answer["type"] == "artifact"]


def pixels(answers: list[dict[str, Any]]) -> list[bytes]:
    return [picture(answer["path"]).tobytes() for answer in artifacts(answers)]


def picture(path: Any) -> Image.Image:
    with Image.open(path) as opened:
        opened.load()
        return opened


def gone(pid: int, within: float = 10) -> bool:
    """True when the process has ended (a zombie counts) within so many seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
