"""What the API's answers share."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, Strict
from pydantic.types import AllowInfNan

T = TypeVar("T")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _storable(text: str) -> str:
    """No database keeps NUL in text, and none keeps half a surrogate pair, which JSON's \\ud800 makes."""
    if "\0" in text:
        raise ValueError("contains a NUL character.")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("contains half of a surrogate pair.")
    return text


Moment = Annotated[datetime, PlainSerializer(_iso, return_type=str)]  # ISO 8601, UTC, milliseconds
# What clients send: nothing is guessed, so that "12", 1.5 or true never becomes a number of steps by itself.
Text = Annotated[str, Strict(), AfterValidator(_storable)]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), AllowInfNan(False)]


class Input(BaseModel):
    """Base of request bodies; null means the same as absent."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="cursor of the next page; null at the end")


class Person(BaseModel):
    id: str
    name: str

    @classmethod
    def of(cls, user: Any) -> "Person | None":
        return cls(id=str(user.pk), name=user.display_name) if user else None


class RunOut(BaseModel):
    """What every run carries, whatever it does."""

    id: str
    status: str = Field(description="queued, running, succeeded, failed or cancelled")
    stage: str
    message: str
    done: int
    total: int
    attempt: int
    position: int | None = Field(description="in the queue, 1 is next; null when it isn't waiting")
    eta_seconds: float | None = Field(description="until its end, learned from runs alike; null when it has ended")
    error: str | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    created_by: Person | None
    links: dict[str, str]


class LogOut(BaseModel):
    lines: list[str]
