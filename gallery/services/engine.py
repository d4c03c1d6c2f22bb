"""The worker's one engine child: started when first needed, kept warm, ended when it has been idle for long."""

import time
from typing import Any

from django.conf import settings

from gallery.models import Generation
from imagineer.children import Child

_MARGIN = 5.0  # seconds before the engine's own idle end in which it isn't trusted with a job any more


class Engine:
    """Holds the child of this process. `loaded` is the slug of the model that is in its memory."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._used = 0.0
        self.loaded = ""

    @property
    def is_warm(self) -> bool:
        idle = time.monotonic() - self._used
        return self._child is not None and self._child.is_alive and idle < settings.ENGINE_IDLE_SECONDS - _MARGIN

    def child(self) -> Child:
        if not self.is_warm:
            self.end()
            self._child = Child("gallery.engine", *_arguments())
        self._used = time.monotonic()
        assert self._child is not None
        return self._child

    def done(self, message: dict[str, Any]) -> None:
        """After a job: its result tells what is loaded now."""
        self._used = time.monotonic()
        self.loaded = str(message.get("loaded", ""))

    def end(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child, self.loaded = None, ""


engine = Engine()


def is_warm(generation: Generation) -> bool:
    return engine.is_warm and engine.loaded == generation.model.slug


def _arguments() -> list[str]:
    threads = ["--threads", str(settings.ENGINE_THREADS)] if settings.ENGINE_THREADS else []
    return ["--idle", str(settings.ENGINE_IDLE_SECONDS), *threads]
