"""The texts found in a picture's file, kept within bounds whatever the file claims."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gallery.metadata.values import GRAPH_LIMIT, TEXT_LIMIT, as_text

TOTAL_LIMIT = 1_048_576  # characters of all fields together
FIELD_COUNT = 64  # also counts those that turn out too long or double: each costs time
KEY_LENGTH = 79  # PNG's own limit
GRAPHS = frozenset({"prompt", "workflow", "invokeai_graph", "invokeai_workflow"})
# The largest piece of a file that is ever held in memory: UTF-16 text, and some binary around it.
PIECE_LIMIT = 2 * TOTAL_LIMIT + 65_536


@dataclass(slots=True)
class Fields:
    """`found` is in file order, the first of two equal keys wins; what is too long is left out, not cut."""

    found: dict[str, str] = field(default_factory=dict)
    left: int = TOTAL_LIMIT
    tries: int = FIELD_COUNT

    def add(self, key: str, read: Callable[[], str]) -> None:
        """`read` is only called for a text that can still be taken, as it may inflate or decode much."""
        limit = min(self.left, GRAPH_LIMIT if key in GRAPHS else TEXT_LIMIT)
        if not 0 < len(key) <= KEY_LENGTH or key in self.found or self.tries <= 0:
            return
        self.tries -= 1
        text = read()
        if text and len(text) <= limit:
            self.found[key] = as_text(text, limit)
            self.left -= len(text)


def decode(data: bytes) -> str:
    """UTF-8 where it is that, else Latin-1: many programs put UTF-8 where the formats ask for Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
