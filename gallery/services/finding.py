"""Which pictures a search finds, and in which order: the same for pages and API."""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import MD5, Cast, Concat
from django.utils import timezone

from gallery.models import Generation, GenerationLora
from gallery.models.image import ImageQuerySet
from gallery.models.search import first_place
from gallery.services.pictures import RATINGS, listed_images
from imagineer.pagination import NEWEST, OLDEST, Order

FOUND_NEWEST = Order("found new", field="place", parse=int, unique=True)
FOUND_OLDEST = Order("found old", field="place", falling=False, parse=int, unique=True)
_SALT = re.compile(r"[0-9a-f]{8}\Z")


@dataclass(frozen=True)
class Criteria:
    """None and the empty text don't restrict. `since` and `until` are days, both included; `rating` is a ceiling."""

    q: str = ""
    source: str | None = None
    model: str | None = None
    lora: str | None = None
    owner: str | None = None
    rating: str | None = None
    since: date | None = None
    until: date | None = None
    sort: str = "new"


def find_images(user: Any, criteria: Criteria, *, adult: bool) -> ImageQuerySet:
    """What lists may show `user` and the criteria allow; order it with `order_of`."""
    images = listed_images(user, adult=adult)
    if criteria.q.strip():
        images = images.search(criteria.q)
    if criteria.rating:
        images = images.filter(rating__in=RATINGS[: RATINGS.index(criteria.rating) + 1])
    if criteria.model is not None:
        images = images.filter(Exists(_of_model(criteria.model)))
    if criteria.lora is not None:
        uses = GenerationLora.objects.filter(lora__slug=criteria.lora)
        images = images.filter(generation__in=uses.values("generation"))
    exact = {"source": criteria.source, "owner": _owner(user, criteria.owner), **_days(criteria)}
    return images.filter(**{name: value for name, value in exact.items() if value is not None})


def order_of(criteria: Criteria, salt: str = "") -> Order:
    """`salt`, 8 hexadecimal digits, is what tells one shuffle from another. Raises ValueError for any other salt."""
    if criteria.sort == "random":
        if not _SALT.match(salt):
            raise ValueError("A shuffle's salt has 8 hexadecimal digits.")
        return Order(f"random:{salt}", field="shuffled", falling=False, parse=_hex)
    if criteria.q.strip():
        return FOUND_NEWEST if criteria.sort == "new" else FOUND_OLDEST
    return NEWEST if criteria.sort == "new" else OLDEST


def prepared(images: ImageQuerySet, order: Order) -> ImageQuerySet:
    """With the value that a shuffle sorts by."""
    if order.field != "shuffled":
        return images
    return images.annotate(shuffled=MD5(Concat(Cast("pk", CharField()), Value(order.name))))


def count_up_to(images: ImageQuerySet, criteria: Criteria, most: int) -> int:
    """How many there are, `most` when there are more: looking at all of them would cost too much.

    In the order of a list, for only then does SQLite read the index of words once instead of once a picture.
    """
    order = order_of(replace(criteria, sort="new"))
    return images.order_by(*order.columns)[:most].count()


def _owner(user: Any, owner: str | None) -> int | None:
    """0 is nobody's id."""
    if owner == "me":
        return user.pk or 0
    if owner is None:
        return None
    return int(owner) if owner.isascii() and owner.isdigit() and len(owner) <= 18 else 0


def _of_model(slug: str) -> Any:
    """Asked picture by picture along the list: most are of few models, so that a page is soon full."""
    return Generation.objects.filter(pk=OuterRef("generation"), model__slug=slug)


def _days(criteria: Criteria) -> dict[str, Any]:
    """As a range of what the list is ordered by, so that an index is entered there."""
    since, until = _start_of(criteria.since), _start_of(criteria.until, days=1)
    if not criteria.q.strip():
        return {"created_at__gte": since, "created_at__lt": until}
    return {"place__gte": since and first_place(since), "place__lt": until and first_place(until)}


def _start_of(day: date | None, days: int = 0) -> datetime | None:
    if day is None:
        return None
    midnight = datetime.combine(day, time(), timezone.get_current_timezone())
    return midnight + timedelta(days=days) if day < date.max else midnight


def _hex(text: str) -> str:
    return f"{int(text, 16):032x}"
