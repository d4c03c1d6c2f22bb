"""What programs read to follow the site. Only pictures that are open to all appear."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.sitemaps import Sitemap
from django.contrib.sitemaps import views as sitemap_views
from django.contrib.syndication.views import Feed
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.feedgenerator import Atom1Feed
from django.utils.html import format_html
from django.views.decorators.http import require_safe

from gallery.models import Image, Lora
from gallery.models.image import ImageQuerySet

FED = 40
ROBOTS = ("/admin/", "/accounts/", "/api/", "/create", "/mine", "/queue", "/search", "/adult")


class NewestPictures(Feed):  # type: ignore[type-arg]
    feed_type = Atom1Feed
    title = "Imagineer"
    subtitle = "The newest public pictures"

    def link(self) -> str:
        return reverse("front")

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpRequest:
        return request

    def items(self, request: HttpRequest) -> Iterable[Image]:
        images: list[Any] = list(Image.objects.open_to_all().select_related("owner").newest()[:FED])
        for image in images:
            image.picture_url = request.build_absolute_uri(reverse("image_thumbnail", args=[image.pk, 600]))
        return images

    def item_title(self, item: Any) -> str:
        return (item.title or item.alt or "Picture")[:120]

    def item_description(self, item: Any) -> str:
        return format_html('<p><img src="{}" alt="{}"></p>', item.picture_url, item.alt)

    def item_author_name(self, item: Any) -> str | None:
        return item.author or (item.owner.display_name if item.owner else None)

    def item_pubdate(self, item: Image) -> datetime:
        return item.created_at

    def item_updateddate(self, item: Image) -> datetime:
        return item.created_at

    def item_copyright(self, item: Image) -> str:
        return item.licence


class PictureMap(Sitemap):  # type: ignore[type-arg]
    limit = 10_000

    def items(self) -> ImageQuerySet:
        found: ImageQuerySet = Image.objects.open_to_all().newest().only("id", "created_at")
        return found

    def lastmod(self, item: Image) -> datetime:
        return item.created_at

    def get_latest_lastmod(self) -> datetime | None:
        newest = self.items().first()
        return newest.created_at if newest else None


class PageMap(Sitemap):  # type: ignore[type-arg]
    def items(self) -> list[str]:
        slugs = Lora.objects.usable().values_list("slug", flat=True)
        return [reverse("front"), reverse("loras"), *(reverse("lora", args=[slug]) for slug in slugs)]

    def location(self, item: str) -> str:
        return item


SECTIONS: dict[str, Any] = {"pages": PageMap, "pictures": PictureMap}


@require_safe
def sitemap_index(request: HttpRequest) -> HttpResponse:
    return sitemap_views.index(request, SECTIONS, sitemap_url_name="sitemap_section")


@require_safe
def sitemap(request: HttpRequest, section: str) -> HttpResponse:
    return sitemap_views.sitemap(request, SECTIONS, section)


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in ROBOTS)]
    lines += ["", f"Sitemap: {request.build_absolute_uri(reverse('sitemap'))}", ""]
    return HttpResponse("\n".join(lines), content_type="text/plain; charset=utf-8")
