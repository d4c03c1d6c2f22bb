"""What a picture's page tells programs: OpenGraph, and schema.org's ImageObject as JSON-LD."""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from gallery.models import Image, Source
from gallery.models.image import RENDITIONS

# IPTC's word for what a generating model has made.
MADE_BY_MODEL = "https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_CREATIVE_COMMONS = re.compile(r"CC[ -](BY(?:-(?:NC|SA|ND|NC-SA|NC-ND))?)[ -](\d\.\d)\Z", re.IGNORECASE)
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class SharedFacts:
    """Addresses are absolute; width and height are the shared rendition's, px."""

    title: str
    description: str
    url: str
    picture_url: str
    width: int
    height: int
    json_ld: SafeString


def shared_facts(request: HttpRequest, image: Image) -> SharedFacts:
    """Only for pictures that are open to all."""
    width, height = image.rendition_size(RENDITIONS[-1])
    url, picture_url = (request.build_absolute_uri(path) for path in (image.get_absolute_url(), _rendition(image, -1)))
    title = (image.title or image.alt or "Picture")[:120]
    document = {
        "@context": "https://schema.org",
        "@type": "ImageObject",
        "name": title,
        "caption": image.alt,
        "url": url,
        "contentUrl": picture_url,
        "thumbnailUrl": request.build_absolute_uri(_rendition(image, 0)),
        "encodingFormat": "image/webp",
        "width": width,
        "height": height,
        "uploadDate": image.created_at.isoformat(),
        **_rights(image),
    }
    return SharedFacts(title, image.alt or title, url, picture_url, width, height, _script(document))


def licence_address(licence: str) -> str:
    """Of a licence that is an address or one of Creative Commons; empty for others."""
    text = licence.strip()
    if text.startswith(("https://", "http://")):
        return text
    if text.upper() in ("CC0", "CC0 1.0", "CC0-1.0"):
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    found = _CREATIVE_COMMONS.match(text)
    return f"https://creativecommons.org/licenses/{found[1].lower()}/{found[2]}/" if found else ""


def _rights(image: Image) -> dict[str, Any]:
    author = image.author or (image.owner.display_name if image.owner else "")
    facts = {
        "license": licence_address(image.licence),
        "copyrightNotice": image.licence,
        "creditText": author,
        "creator": {"@type": "Person", "name": author} if author else "",
        "digitalSourceType": MADE_BY_MODEL if image.source == Source.GENERATED else "",
        "isBasedOn": image.source_url,
    }
    return {name: value for name, value in facts.items() if value}


def _script(document: dict[str, Any]) -> SafeString:
    """A block of data, which no policy on scripts concerns, for nothing in it is ever run; it can't be left either."""
    text = json.dumps(document, ensure_ascii=False).translate(_ESCAPES)
    return mark_safe(f'<script type="application/ld+json">{text}</script>')  # noqa: S308  # escaped above


def _rendition(image: Image, which: int) -> str:
    return reverse("image_thumbnail", args=[image.pk, RENDITIONS[which]])
