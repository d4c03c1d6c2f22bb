"""Pages of pictures by keyset: a page costs the same at the beginning and at the end of a long list."""

from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from gallery.models import Image
from gallery.models.image import ImageQuerySet
from imagineer.errors import Invalid
from imagineer.pagination import NEWEST, OLDEST, Order, PageParameters, paginate

PAGE = 40
MOST_PAGES = 15  # in one document; behind them a plain link leads on


@dataclass(frozen=True)
class Listing:
    """`pages` of pictures from `start`; `next` leads on when there are more."""

    images: list[Image]
    start: str
    pages: int
    next: str | None

    @property
    def grows(self) -> bool:
        return bool(self.next) and self.pages < MOST_PAGES

    @property
    def is_first(self) -> bool:
        return not self.start


def listing(request: HttpRequest, images: ImageQuerySet, order: Order = NEWEST) -> Listing:
    """`?cursor=` says where to begin, `?pages=` how far an endless scroll had come when it was left."""
    cursor = request.GET.get("cursor", "")
    pages = _pages(request.GET.get("pages", "1"))
    page = PageParameters.model_construct(cursor=cursor or None, limit=PAGE * pages)
    try:
        found, following = paginate(images.select_related("owner"), page, order)
    except Invalid as refusal:
        raise BadRequest("This page's address is damaged; go back to the start of the list.") from refusal
    return Listing(found, cursor, pages, following)


def render_listing(
    request: HttpRequest,
    template: str,
    images: ImageQuerySet,
    context: dict[str, Any] | None = None,
    order: Order = NEWEST,
) -> HttpResponse:
    """The whole page; to a scrolling htmx only what comes next, and the address remembers how far it got."""
    page = listing(request, images, order)
    if not request.headers.get("HX-Request") or "grown" not in request.GET:
        return render(request, template, {"listing": page, **(context or {})})
    start, grown = request.GET.get("start", ""), _pages(request.GET["grown"])
    page = replace(page, start=start, pages=grown)
    response = render(request, "gallery/_tiles.html", {"listing": page, **(context or {})})
    response["HX-Replace-Url"] = _address(request, start, grown)
    return response


def neighbours(images: ImageQuerySet, image: Image) -> tuple[Image | None, Image | None]:
    """The pictures beside `image` in a list, newest first: the newer one, the older one."""
    newer = images.filter(OLDEST.after(image.created_at, image.pk)).order_by(*OLDEST.columns).first()
    older = images.filter(NEWEST.after(image.created_at, image.pk)).order_by(*NEWEST.columns).first()
    return newer, older


def _pages(text: str) -> int:
    return max(1, min(MOST_PAGES, int(text))) if text.isascii() and text.isdigit() and len(text) < 5 else 1


def _address(request: HttpRequest, start: str, pages: int) -> str:
    query = request.GET.copy()
    for name in ("cursor", "start", "grown"):
        query.pop(name, None)
    query["pages"] = str(pages)
    if start:
        query["cursor"] = start
    return f"{request.path}?{query.urlencode()}"
