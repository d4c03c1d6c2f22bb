"""`python -m gallery.decoder '{"limits": …, "recipes": …}' < PICTURE > ANSWER`

The answer is a line of JSON, either `{"refused": [code, reason]}` or the facts, what the file says of its making, and
the sizes and lengths of the renditions, whose bytes follow. The other side is gallery/services/decoding.py.
"""

import json
import sys
import warnings
from dataclasses import asdict
from typing import Any

import PIL.Image
from PIL import (  # noqa: F401  # nothing can be loaded once the process is confined
    AvifImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from gallery.decoder.confine import confine
from gallery.decoder.errors import Refused
from gallery.decoder.headers import Limits
from gallery.decoder.measure import Recipe
from gallery.decoder.strict import decode
from gallery.metadata.reader import interpret, read_fields


def main() -> None:
    request = json.loads(sys.argv[1])
    limits = Limits(**request["limits"])
    recipes = [Recipe(**recipe) for recipe in request["recipes"]]
    PIL.Image.preinit()
    PIL.Image.MAX_IMAGE_PIXELS = limits.pixels
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
    confine(**request["confine"])
    try:
        facts = asdict(decode(sys.stdin.buffer, limits, recipes))
    except Refused as refusal:
        _answer({"refused": [refusal.code, refusal.reason]})
        return
    renditions = facts.pop("renditions")
    lengths = [[size, len(data)] for size, data in renditions.items()]
    _answer({"facts": facts, "metadata": _metadata(), "renditions": lengths}, *renditions.values())


def _metadata() -> dict[str, Any] | None:
    sys.stdin.buffer.seek(0)
    found = interpret(read_fields(sys.stdin.buffer))
    if found is None:
        return None
    return {"program": found.source, "parameters": found.parameters.to_json(), "raw": found.raw}


def _answer(head: dict[str, Any], *bodies: bytes) -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for body in bodies:
        sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
