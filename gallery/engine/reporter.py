"""What a job tells about itself while it runs, not more often than anybody can look."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gallery.engine.channel import Channel

PROGRESS_EVERY = 0.25  # seconds
PREVIEW_EVERY = 1.0


class Reporter:
    """`done` of `total` are denoising steps over all pictures of the job.

    Every call raises Cancelled when it should.
    """

    def __init__(self, channel: Channel, job: str, total: int) -> None:
        self.channel = channel
        self.job = job
        self.total = total
        self.done = 0
        self._stage = ""
        self._next_progress = 0.0
        self._next_preview = time.monotonic() + PREVIEW_EVERY

    def check(self) -> None:
        self.channel.check(self.job)

    def stage(self, stage: str, message: str) -> None:
        """A new stage is told at once."""
        self.check()
        self._tell(stage, message, None)

    def step(self, done: int, message: str, preview: Callable[[], str]) -> None:
        """Denoising steps; the job's first and last are told at once, others when it is time."""
        self.check()
        first, self.done = self.done == 0, done
        now = time.monotonic()
        if not first and done < self.total and now < self._next_progress:
            return
        picture = None
        if now >= self._next_preview and done < self.total:
            picture = preview()
            self._next_preview = time.monotonic() + PREVIEW_EVERY
        self._tell("denoising", message, picture)

    def _tell(self, stage: str, message: str, preview: str | None) -> None:
        self._next_progress = time.monotonic() + PROGRESS_EVERY
        self.send(type="progress", stage=stage, done=self.done, total=self.total, message=message, preview=preview)

    def send(self, **message: Any) -> None:
        self.channel.send({"job": self.job, **message})
