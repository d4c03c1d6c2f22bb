"""Lists that stay stable while rows come and go: a page starts after a row, not after a number of them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from imagineer.errors import FieldError, Invalid

DEFAULT_LIMIT = 40
LIMIT = 100


class QueryParameters(BaseModel):
    """Base of query parameters: a name that isn't known is refused, for a filter that does nothing lies."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, data: Any, info: ValidationInfo) -> Any:
        request = (info.context or {}).get("request")
        unknown = sorted(set(request.GET) - set(cls.model_fields)) if request else []
        if unknown:
            raise Invalid(*(FieldError(name[:100], "is not a parameter that is known here.") for name in unknown))
        return data


class PageParameters(QueryParameters):
    cursor: str | None = Field(None, description="`next` of the page before")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=LIMIT)


@dataclass(frozen=True)
class Order:
    """A total order: by `field` of a row and its id, both falling or both rising; if `unique`, by the field alone."""

    name: str
    field: str = "created_at"
    falling: bool = True
    parse: Callable[[str], Any] = datetime.fromisoformat
    parse_id: Callable[[str], Any] = UUID
    unique: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        sign = "-" if self.falling else ""
        return (f"{sign}{self.field}",) if self.unique else (f"{sign}{self.field}", f"{sign}id")

    def after(self, value: Any, key: Any) -> Q:
        """The first condition says again what the others imply: it is what an index can be entered by."""
        way = "lt" if self.falling else "gt"
        if self.unique:
            return Q(**{f"{self.field}__{way}": value})
        beyond = Q(**{f"{self.field}__{way}": value}) | Q(**{f"id__{way}": key})
        return Q(**{f"{self.field}__{way}e": value}) & beyond


NEWEST = Order("new")
OLDEST = Order("old", falling=False)


def paginate(rows: QuerySet[Any], page: PageParameters, order: Order = NEWEST) -> tuple[list[Any], str | None]:
    """One page and the cursor of the next, None at the end. Raises Invalid for a cursor of another order."""
    if page.cursor is not None:
        rows = rows.filter(order.after(*_decode(page.cursor, order)))
    found = list(rows.order_by(*order.columns)[: page.limit + 1])
    if len(found) <= page.limit:
        return found, None
    return found[: page.limit], _encode(found[page.limit - 1], order)


def _encode(row: Any, order: Order) -> str:
    value = getattr(row, order.field)
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return base64.urlsafe_b64encode(json.dumps([order.name, text, str(row.pk)]).encode()).decode().rstrip("=")


def order_name(cursor: str) -> str:
    """Of the order that gave this cursor out."""
    return _parts(cursor)[0]


def is_row_id(text: str) -> bool:
    """Of a table that counts its rows; fits a column of 64 bits."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def row_id(text: str) -> int:
    if not is_row_id(text):
        raise ValueError(f"{text[:40]!r} is not a row's number")
    return int(text)


def _decode(cursor: str, order: Order) -> tuple[Any, Any]:
    name, text, key_text = _parts(cursor)
    try:
        value, key = order.parse(text), order.parse_id(key_text)
    except (ValueError, OverflowError) as error:
        raise _foreign() from error
    if name != order.name or (isinstance(value, datetime) and value.tzinfo is None):
        raise _foreign()
    return value, key


def _parts(cursor: str) -> tuple[str, str, str]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        name, text, key_text = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError) as error:
        raise _foreign() from error
    if not all(isinstance(part, str) for part in (name, text, key_text)):
        raise _foreign()
    return name, text, key_text


def _foreign() -> Invalid:
    return Invalid(FieldError("cursor", "is not one that this list has given out."))
