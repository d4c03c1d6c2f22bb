"""Writes that must not be lost to a database that is busy for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection

T = TypeVar("T")
INSIST_SECONDS = 90.0


def insist(write: Callable[[], T]) -> T:
    """Calls `write` again while the database is locked or out of reach, for up to 90 s; then the error stands.

    Inside a transaction nothing is repeated: the whole transaction has to be, by whoever opened it.
    """
    deadline = time.monotonic() + INSIST_SECONDS
    while True:
        try:
            return write()
        except OperationalError as error:
            if connection.in_atomic_block or not _passes(error) or time.monotonic() > deadline:
                raise
            connection.close()
            time.sleep(0.5)


def _passes(error: OperationalError) -> bool:
    if connection.vendor == "sqlite":
        return "locked" in str(error) or "busy" in str(error)
    return True


def hold(name: str) -> None:
    """Until the end of the transaction, nobody else gets past the same line with the same name.

    SQLite's transactions (IMMEDIATE) come one after the other anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def is_busy(error: BaseException) -> bool:
    """Whether a request that met this error should be answered 503 instead of 500."""
    return isinstance(error, OperationalError) and _passes(error)
