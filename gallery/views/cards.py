"""Generations as cards: what they are doing, how far they are, how long still, and their pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.urls import reverse

from gallery.models import Generation, Image
from gallery.services.lineage import with_ingredients
from imagineer.fairness import Outlook, forecast
from imagineer.runs import RunQuerySet


@dataclass(frozen=True)
class Card:
    generation: Generation
    outlook: Outlook | None
    images: list[Image]

    @property
    def position(self) -> int | None:
        return self.outlook.position if self.outlook else None

    @property
    def seconds_left(self) -> float | None:
        return self.outlook.seconds if self.outlook else None

    @property
    def waiting(self) -> range:
        """Places for the pictures that are still to come."""
        return range(max(0, self.generation.count - len(self.images)))

    @property
    def preview_url(self) -> str:
        """Changes with each new preview, so that browsers fetch it once."""
        try:
            version = self.generation.preview_path.stat().st_mtime_ns
        except FileNotFoundError:
            return ""
        return f"{reverse('generation_preview', args=[self.generation.pk])}?v={version}"


def with_details(generations: RunQuerySet) -> RunQuerySet:
    """All that a card shows, in a constant number of queries. Trashed pictures are there, for the undo."""
    pictures = Prefetch("images", Image.objects.order_by("index"), to_attr="pictures")
    detailed: RunQuerySet = with_ingredients(generations).prefetch_related(pictures)
    return detailed


def make_cards(generations: Iterable[Generation]) -> list[Card]:
    found = list(generations)
    outlooks: dict[UUID, Outlook] = {}
    if any(not generation.is_terminal for generation in found):
        outlooks = forecast(Generation.queue)
    return [_card(generation, outlooks) for generation in found]


def make_card(generation_id: UUID, user: Any) -> Card | None:
    """None when there is no such generation, or it isn't this user's."""
    found = with_details(Generation.objects.visible_to(user).filter(pk=generation_id))
    cards = make_cards(found)
    return cards[0] if cards else None


def _card(generation: Any, outlooks: dict[UUID, Outlook]) -> Card:
    return Card(generation, outlooks.get(generation.pk), generation.pictures)
