"""What templates need to draw the interface under a policy without inline styles."""

from datetime import timedelta
from typing import Any

from django import template
from django.db.models import Count
from django.http import QueryDict
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gallery.models import Image
from gallery.models.image import RENDITIONS
from gallery.services.parameters import PROGRAMS
from imagineer.runs import RunStatus, run_models

register = template.Library()
RATIO_LIMITS = (0.4, 3.0)  # css/ratios.css has a class for each twentieth between these
STATE_ICONS = {
    RunStatus.QUEUED: "clock",
    RunStatus.RUNNING: "activity",
    RunStatus.SUCCEEDED: "circle-check",
    RunStatus.FAILED: "circle-alert",
    RunStatus.CANCELLED: "ban",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Decoration beside a word; whatever it means is said in text."""
    address = f"{static('vendor/lucide/sprite.svg')}#{name}"
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', address)


@register.simple_tag
def state_icon(status: str) -> SafeString:
    return icon(STATE_ICONS[RunStatus(status)])


@register.filter
def ratio_class(image: Image) -> str:
    low, high = RATIO_LIMITS
    ratio = min(high, max(low, image.width / image.height))
    return f"r-{round(ratio * 20) * 5}"


@register.simple_tag
def thumbnail_url(image: Image, size: int) -> str:
    return reverse("image_thumbnail", args=[image.pk, size])


@register.simple_tag
def srcset(image: Image) -> str:
    """Each rendition once: small pictures have fewer different ones."""
    widths = {image.rendition_size(size)[0]: size for size in reversed(RENDITIONS)}
    return ", ".join(f"{thumbnail_url(image, size)} {width}w" for width, size in sorted(widths.items()))


@register.simple_tag(takes_context=True)
def queue_counts(context: dict[str, Any]) -> dict[str, int]:
    """The viewer's own jobs, for the indicator in the header: {"running": 1, "queued": 3, "active": 4}."""
    user = context["request"].user
    counts = {"running": 0, "queued": 0}
    for model in run_models() if user.is_authenticated else ():
        rows = model.objects.active().filter(created_by=user).order_by().values_list("status")
        for status, count in rows.annotate(Count("pk")):
            counts[status] += count
    return {**counts, "active": sum(counts.values())}


@register.filter
def duration(seconds: float | None) -> str:
    """Roughly, as people say it: "8 s", "3 min", "2 h 10 min"."""
    if seconds is None:
        return ""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


@register.filter
def between(start: Any, end: Any) -> timedelta | None:
    return end - start if start and end else None


@register.filter
def number(value: float | None) -> str:
    """7.0 is 7, 7.25 stays."""
    return "" if value is None else f"{value:g}"


@register.simple_tag(takes_context=True)
def same_page(context: dict[str, Any], **changes: Any) -> str:
    """The query string of this page with some parameters changed; None removes one."""
    query: QueryDict = context["request"].GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{query.urlencode()}" if query else "?"


@register.filter
def program_name(source: str) -> str:
    return PROGRAMS.get(source, source)
