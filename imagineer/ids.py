"""Identifiers that sort by the time they were made."""

import os
import time
import uuid


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562, section 5.7): 48 bits of milliseconds, 74 random bits.

    Primary keys made like this keep an index in insertion order, and can't be guessed.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def parsed_id(value: uuid.UUID | str) -> uuid.UUID | None:
    """For ids in addresses: they are opaque, so what isn't spelled exactly like one belongs to nothing."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        known = uuid.UUID(value)
    except ValueError:
        return None
    return known if str(known) == value else None
