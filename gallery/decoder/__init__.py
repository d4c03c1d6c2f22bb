"""From a picture's file to what the site keeps of it: measures, hashes, renditions. Plain Python on Pillow.

The program's own pictures are measured in the process that takes them in; whatever comes from outside goes through
`python -m gallery.decoder`, which gives up its network, its files and most of its memory before it looks at the file.
"""

from gallery.decoder.errors import Refused
from gallery.decoder.headers import Header, Limits, check_header, read_header
from gallery.decoder.measure import Facts, Recipe, difference_hash, measure

__all__ = [
    "Facts",
    "Header",
    "Limits",
    "Recipe",
    "Refused",
    "check_header",
    "difference_hash",
    "measure",
    "read_header",
]
