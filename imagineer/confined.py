"""One-shot child processes for files that nobody vouches for: the file goes in, bytes come out, nothing else."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import BinaryIO

from django.conf import settings

from imagineer.processes import end_group
from imagineer.sweeper import temporary_folder

_ERROR_LENGTH = 2000  # of what it said on stderr
_CLOCK_MARGIN = 2.0  # the child ends itself first


@dataclass(frozen=True)
class Outcome:
    """`status` is the exit status, negative for a signal; None when it had to be ended after its time."""

    status: int | None
    output: bytes
    error: str


def run_confined(module: str, *arguments: str, file: BinaryIO, seconds: float, output_limit: int) -> Outcome:
    """Runs `python -m MODULE` on `file`, which is its standard input, for at most `seconds`.

    The child confines itself before it reads (gallery/decoder/confine.py). It gets no environment that could hold a
    secret, and no more than `output_limit` bytes of its output are read.
    """
    folder = temporary_folder()
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # the descriptor's own place: Python's may only be in its buffer
    with tempfile.TemporaryFile(dir=folder) as output, tempfile.TemporaryFile(dir=folder) as error:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagineer.child_entry", str(os.getpid()), module, *arguments],
            stdin=file,
            stdout=output,
            stderr=error,
            cwd=settings.BASE_DIR,
            env={"PATH": os.environ.get("PATH", ""), "IMAGINEER_ROOT": str(settings.BASE_DIR)},
        )
        try:
            status: int | None = process.wait(seconds + _CLOCK_MARGIN)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_group(process.pid, grace=0, reap=process.poll)
            process.wait()
        return Outcome(status, _read(output, output_limit), _read(error, _ERROR_LENGTH).decode(errors="replace"))


def _read(file: BinaryIO, limit: int) -> bytes:
    file.seek(0)
    return file.read(limit)
