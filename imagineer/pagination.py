"""Lists that stay stable while rows come and go: the next page starts after the last row, not after a number."""

import base64
import binascii
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
    """Base of a call's query parameters: a name that isn't known is refused, for a filter that does nothing lies."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, data: Any, info: ValidationInfo) -> Any:
        request = (info.context or {}).get("request")
        unknown = sorted(set(request.GET) - set(cls.model_fields)) if request else []
        if unknown:
            raise Invalid(
                *(FieldError(name[:100], "is not a parameter that is known here.") for name in unknown)
            )
        return data


class PageParameters(QueryParameters):
    cursor: str | None = Field(None, description="`next` of the page before")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=LIMIT)


@dataclass(frozen=True)
class Order:
    """A total order: by `key` of a row and its id, both falling or both rising."""

    name: str
    field: str = "created_at"
    falling: bool = True
    parse: Callable[[str], Any] = datetime.fromisoformat

    @property
    def columns(self) -> tuple[str, str]:
        sign = "-" if self.falling else ""
        return f"{sign}{self.field}", f"{sign}id"

    def after(self, value: Any, row_id: UUID) -> Q:
        way = "lt" if self.falling else "gt"
        return Q(**{f"{self.field}__{way}": value}) | Q(**{self.field: value, f"id__{way}": row_id})


NEWEST = Order("new")
OLDEST = Order("old", falling=False)


def paginate(
    rows: QuerySet[Any], page: PageParameters, order: Order = NEWEST
) -> tuple[list[Any], str | None]:
    """One page and the cursor of the next, None at the end. Raises Invalid when the cursor is none of this order."""
    if page.cursor is not None:
        rows = rows.filter(order.after(*_decode(page.cursor, order)))
    found = list(rows.order_by(*order.columns)[: page.limit + 1])
    if len(found) <= page.limit:
        return found, None
    return found[: page.limit], _encode(found[page.limit - 1], order)


def _encode(row: Any, order: Order) -> str:
    value = getattr(row, order.field)
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return base64.urlsafe_b64encode(json.dumps([order.name, text, row.pk.hex]).encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order) -> tuple[Any, UUID]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        name, text, row_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        value, known = order.parse(text), UUID(hex=row_id)
        if name != order.name or (isinstance(value, datetime) and value.tzinfo is None):
            raise ValueError("of another list")
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError, OverflowError) as error:
        raise Invalid(FieldError("cursor", "is not one that this list has given out.")) from error
    return value, known
