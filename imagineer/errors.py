"""Refusals that pages, API and commands tell in their own way."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    field: str
    message: str


class Invalid(Exception):
    """What was asked for can't be: which fields, and why. Nothing has been changed."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


class TooMany(Exception):
    """A limit on frequency or amount; `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(Exception):
    """The thing is in a state that doesn't allow this."""
