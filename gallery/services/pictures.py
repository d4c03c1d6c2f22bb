"""What people do with a picture that is there: find, describe, rate, publish, throw away, bring back."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import Http404
from django.utils import timezone

from gallery.models import Image, Rating, Visibility
from gallery.models.image import ImageQuerySet
from gallery.services.documents import refresh_document
from imagineer.errors import Conflict, FieldError, Invalid
from imagineer.ids import parsed_id
from imagineer.models import Event

TRASH_DAYS = 30
RATINGS = tuple(value for value in Rating.values if value != Rating.UNRATED)  # mildest first
NO_PICTURE = "There is no such picture, or you may not see it."


@dataclass(frozen=True)
class ImageChanges:
    """None leaves a field as it is; the empty string clears a text."""

    title: str | None = None
    alt: str | None = None
    licence: str | None = None
    author: str | None = None
    visibility: str | None = None
    rating: str | None = None


_TEXTS = ("title", "alt", "licence", "author")


# Finding ------------------------------------------------------------------------------------------


def get_image(user: Any, image_id: UUID | str) -> Image:
    """A picture that `user` may open, with its owner and generation; Http404 for any other."""
    return _first(Image.objects.visible_to(user), image_id)


def get_trashed_image(user: Any, image_id: UUID | str) -> Image:
    """A picture in the trash that `user` may bring back, or one that is back already."""
    image = _first(Image.objects.all(), image_id)
    if not may_edit(user, image):
        raise Http404(NO_PICTURE)
    return image


def listed_images(user: Any, *, adult: bool) -> ImageQuerySet:
    """What lists may show: one's own pictures, and other people's public ones as far as their rating allows.

    Operators find all that is kept. Other people's adult and explicit pictures appear only with `adult`.
    """
    others = Q(visibility=Visibility.PUBLIC, rating__in=(*Rating.open(), *(Rating.gated() if adult else ())))
    if getattr(user, "is_operator", False):
        others = Q() if adult else ~Q(rating__in=Rating.gated())
    own = Q(owner=user) if user.is_authenticated else Q(pk__in=())
    found: ImageQuerySet = Image.objects.kept().filter(others | own if others else Q())
    return found


def trashed_images(user: Any) -> ImageQuerySet:
    """The user's own trash, latest first."""
    found: ImageQuerySet = Image.objects.filter(owner=user, deleted_at__isnull=False).order_by("-deleted_at", "-id")
    return found


def may_edit(user: Any, image: Image) -> bool:
    if not user.is_authenticated:
        return False
    return bool(user.is_operator or image.owner_id == user.pk)


# Changing -----------------------------------------------------------------------------------------


def update_image(user: Any, image: Image, changes: ImageChanges) -> Image:
    """Applies all that is given or nothing. Raises PermissionDenied, Invalid (all fields at once), Conflict.

    Sharing a picture that nobody has rated is its owner's word that it is safe, unless they rate it with it.
    """
    _check_may_edit(user, image)
    _check(changes)
    given = {field.name: value for field in fields(changes) if (value := getattr(changes, field.name)) is not None}
    with transaction.atomic():
        current = Image.objects.select_for_update().get(pk=image.pk)
        updates: dict[str, Any] = {name: value for name, value in given.items() if name != "rating"}
        updates |= _rating_updates(user, current, changes)
        updates = {name: value for name, value in updates.items() if getattr(current, name) != value}
        if updates:
            Image.objects.filter(pk=image.pk).update(**updates)
            _reindex(current, updates)
            Event.record(user, "update", image, **updates)
    for name, value in updates.items():
        setattr(image, name, value)
    return image


def _reindex(image: Image, updates: dict[str, Any]) -> None:
    if updates.keys() & {"title", "alt"}:
        image.title, image.alt = updates.get("title", image.title), updates.get("alt", image.alt)
        refresh_document(image)


def publish_image(user: Any, image: Image, *, visibility: str = Visibility.PUBLIC, rating: str | None = None) -> Image:
    return update_image(user, image, ImageChanges(visibility=visibility, rating=rating))


def trash_image(user: Any, image: Image) -> Image:
    """Hides a picture from everybody; it can be brought back for TRASH_DAYS days."""
    _check_may_edit(user, image)
    return _set_deleted(user, image, "trash", timezone.now())


def restore_image(user: Any, image: Image) -> Image:
    """Brings a picture back from the trash; one that is not there stays as it is."""
    _check_may_edit(user, image)
    if image.deleted_at and image.deleted_at < timezone.now() - timedelta(days=TRASH_DAYS):
        raise Conflict(f"This picture was thrown away more than {TRASH_DAYS} days ago and is being removed.")
    return _set_deleted(user, image, "restore", None)


def bring_back(user: Any, image: Image) -> Image:
    """Out of the trash at the last moment too: its owner has just sent it again."""
    return _set_deleted(user, image, "restore", None) if image.deleted_at else image


def _set_deleted(user: Any, image: Image, verb: str, moment: Any) -> Image:
    with transaction.atomic():
        changed = Image.objects.filter(pk=image.pk, deleted_at__isnull=moment is not None)
        if changed.update(deleted_at=moment):
            Event.record(user, verb, image)
    image.deleted_at = moment
    return image


def _rating_updates(user: Any, image: Image, changes: ImageChanges) -> dict[str, Any]:
    if changes.rating is not None:
        return _rate(user, image, changes.rating)
    shared = changes.visibility in (Visibility.PUBLIC, Visibility.UNLISTED)
    return _rate(user, image, Rating.SAFE) if shared and image.rating == Rating.UNRATED else {}


def _rate(user: Any, image: Image, rating: str) -> dict[str, Any]:
    """An operator's word on somebody else's picture stands: only operators change it again."""
    as_operator = image.owner_id != user.pk
    if image.rating_locked and not user.is_operator and rating != image.rating:
        raise Conflict("An operator has fixed the rating of this picture; ask one to change it.")
    source = "operator" if as_operator else "owner"
    if image.rating_locked:
        return {"rating": rating}
    return {"rating": rating, "rating_source": source, "rating_locked": as_operator}


def _check_may_edit(user: Any, image: Image) -> None:
    if not may_edit(user, image):
        raise PermissionDenied("Only the picture's owner and operators may do this.")


def _check(changes: ImageChanges) -> None:
    errors = [
        FieldError(name, f"has {len(value)} characters; at most {limit} are allowed.")
        for name in _TEXTS
        if (value := getattr(changes, name)) is not None and len(value) > (limit := _text_limit(name))
    ]
    for name, allowed in (("visibility", Visibility.values), ("rating", RATINGS)):
        value = getattr(changes, name)
        if value is not None and value not in allowed:
            errors.append(FieldError(name, f"is {value!r}; choose from {', '.join(allowed)}."))
    if errors:
        raise Invalid(*errors)


def _text_limit(name: str) -> int:
    field: Any = Image._meta.get_field(name)
    return int(field.max_length)


def _first(images: ImageQuerySet, image_id: UUID | str) -> Image:
    known = parsed_id(image_id)
    found = images.filter(pk=known).select_related("owner", "generation").first() if known else None
    if found is None:
        raise Http404(NO_PICTURE)
    return found
