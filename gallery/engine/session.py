"""The engine's life: announce itself, make ready, do jobs until it is told to stop or nobody comes
any more.
"""

from __future__ import annotations

import errno
import logging
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

from gallery.engine.channel import Channel, Message
from gallery.engine.errors import DISK_ADVICE, MEMORY_ADVICE, Cancelled, EngineError, is_out_of_memory
from gallery.engine.protocol import GenerateRequest, Request, parse_request

if TYPE_CHECKING:
    from gallery.engine.jobs import Workshop

logger = logging.getLogger(__name__)


class Session:
    """`idle` seconds without a request end it; None waits for ever."""

    def __init__(self, channel: Channel, idle: float | None, threads: int | None, batch: int | None) -> None:
        self.channel = channel
        self.idle = idle
        self.threads = threads
        self.batch = batch

    def run(self) -> None:
        workshop = self._make_ready()
        while True:
            try:
                message = self.channel.receive(self.idle)
            except Empty:
                logger.info("No job for %s seconds, the engine ends.", self.idle)
                return
            if message is None:
                return
            self._handle(workshop, message)

    def _make_ready(self) -> Workshop:
        """The slow imports happen here, after the process has said hello."""
        started = time.monotonic()
        from gallery.engine import devices
        from gallery.engine.jobs import Workshop

        devices.quieten_libraries()
        devices.prepare_torch(self.threads)
        device = devices.choose_device()
        self.channel.send(
            {
                "type": "ready",
                "device": device.kind,
                "dtype": device.dtype_name,
                "versions": devices.versions(),
                "environment": devices.environment(device),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        return Workshop(device, self.batch)

    def _handle(self, workshop: Workshop, message: Message) -> None:
        job = message.get("job")
        if message.get("op") == "unload":
            workshop.drop_model()
            return
        try:
            answer = self._work(workshop, parse_request(message))
        except Cancelled:
            answer = {"type": "cancelled"}
        except Exception as error:  # noqa: BLE001 - the engine outlives every job
            answer = self._failure(workshop, error)
        if isinstance(job, str):
            self.channel.finish(job)
        self.channel.send({"job": job, **answer})

    def _work(self, workshop: Workshop, request: Request) -> dict[str, Any]:
        from gallery.engine.jobs import GenerateJob, run_upscale
        from gallery.engine.reporter import Reporter

        reporter = Reporter(self.channel, request.job, 1)
        reporter.check()
        if not isinstance(request, GenerateRequest):
            return {"type": "result", **run_upscale(workshop, request, reporter)}
        work = GenerateJob(workshop, request, reporter)
        reporter.total = work.each * len(request.indexes)
        return {"type": "result", **work.run()}

    def _failure(self, workshop: Workshop, error: Exception) -> dict[str, Any]:
        kind, message = describe(error)
        if kind != "invalid":
            logger.error("The job failed (%s).", kind, exc_info=error)
        if kind == "memory":
            error.__traceback__ = None  # its frames hold the tensors that are to be freed
            workshop.drop_model()
        return {"type": "error", "kind": kind, "message": message}


def describe(error: Exception) -> tuple[str, str]:
    """Kind and sentence for any failure of a job."""
    if isinstance(error, EngineError):
        return error.kind, str(error)
    if is_out_of_memory(error):
        return "memory", MEMORY_ADVICE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk", DISK_ADVICE
    if isinstance(error, OSError):
        return (
            "disk",
            f"The picture could not be written or read ({error.strerror or error}); tell the operator.",
        )
    return (
        "internal",
        f"The engine failed ({type(error).__name__}); its log has the details, tell the operator.",
    )
