"""The web process's side of the decoder: what a picture may be, and a confined child to look at it."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from django.conf import settings

from gallery.decoder import Facts, Limits, Recipe, Refused, check_header, read_header
from gallery.imagegenerators import SPECS
from imagineer.confined import Outcome, run_confined

logger = logging.getLogger(__name__)
OUTPUT_LIMIT = 16 * 1024 * 1024  # bytes of all renditions together
RECIPES = tuple(Recipe(size, spec.format, spec.options) for size, spec in SPECS.items())


def upload_limits() -> Limits:
    return Limits(
        bytes=settings.UPLOAD_FILE_BYTES,
        pixels=settings.UPLOAD_PIXELS,
        side=settings.UPLOAD_SIDE,
        frames=settings.UPLOAD_FRAMES,
    )


@dataclass(frozen=True)
class Decoded:
    """`metadata` is what the file says of its making: program, parameters and raw texts, for ImportedMetadata."""

    facts: Facts
    metadata: dict[str, Any] | None


def decode_confined(file: BinaryIO, size: int) -> Decoded:
    """Of a file from outside, of `size` bytes. Raises Refused, and nothing else for what the file holds."""
    limits = upload_limits()
    if size > limits.bytes:
        raise too_large()
    file.seek(0)
    header = read_header(file)
    check_header(header, limits)
    with _room.of(header.width * header.height):
        outcome = run_confined(
            "gallery.decoder",
            json.dumps(_request(limits)),
            file=file,
            seconds=2 * settings.DECODER_SECONDS,
            output_limit=OUTPUT_LIMIT,
        )
    return _decoded(outcome)


def too_large() -> Refused:
    return Refused("bytes", f"It is larger than {settings.UPLOAD_FILE_BYTES / 2**20:g} MiB.")


class _Room:
    """Bounds the pixels that are being decoded at once in this process, and with them the memory of all children."""

    def __init__(self) -> None:
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Waits for its turn. Small pictures count as a share of the room, which bounds the number of children."""
        room = settings.UPLOAD_PIXELS
        share = max(pixels, room // settings.DECODERS)
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + share <= room)
            self._used += share
        try:
            yield
        finally:
            with self._changed:
                self._used -= share
                self._changed.notify_all()


_room = _Room()


def _request(limits: Limits) -> dict[str, object]:
    return {
        "limits": asdict(limits),
        "recipes": [asdict(recipe) for recipe in RECIPES],
        "confine": {
            "memory": settings.DECODER_MEMORY,
            "seconds": settings.DECODER_SECONDS,
            "output": OUTPUT_LIMIT,
        },
    }


def _decoded(outcome: Outcome) -> Decoded:
    if outcome.status is None or outcome.status != 0:
        logger.warning("a decoder ended with status %s: %s", outcome.status, outcome.error[-500:])
        raise Refused("decoder", "Decoding it took too long or too much memory.")
    head, _, body = outcome.output.partition(b"\n")
    answer = json.loads(head)
    if "refused" in answer:
        raise Refused(*answer["refused"])
    renditions, at = {}, 0
    for size, length in answer["renditions"]:
        renditions[int(size)] = body[at : at + length]
        at += length
    if at != len(body):
        raise Refused("decoder", "Its renditions are larger than they may be.")
    return Decoded(Facts(**answer["facts"], renditions=renditions), answer["metadata"])
