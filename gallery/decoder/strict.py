"""Decoding what strangers sent: within limits, and with a reason for whatever goes wrong."""

from collections.abc import Sequence
from typing import BinaryIO

import PIL.Image

from gallery.decoder.errors import Refused
from gallery.decoder.headers import Limits, check_header, read_header
from gallery.decoder.measure import Facts, Recipe, measure

DAMAGED = "It is cut off or damaged: its pixels can't be read."


def decode(file: BinaryIO, limits: Limits, recipes: Sequence[Recipe]) -> Facts:
    """Raises Refused and nothing else: on bad files, decoders raise nearly everything that there is."""
    check_header(read_header(file), limits)
    file.seek(0)
    try:
        return measure(file, recipes)
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("memory", "Decoding it takes more memory than a picture may.") from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise Refused("size", "It has more pixels than it says.") from error
    except Exception as error:
        raise Refused("damaged", DAMAGED) from error
