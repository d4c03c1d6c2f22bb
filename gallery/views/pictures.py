from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from gallery.forms import DescriptionForm, PublishForm
from gallery.models import Generation, Image, Rating, Visibility
from gallery.models.image import ImageQuerySet
from gallery.services.lineage import lineage_of
from gallery.services.parameters import parameters_found
from gallery.services.pictures import get_image, get_trashed_image, may_edit, trashed_images
from gallery.views.listing import neighbours, render_listing
from gallery.views.media import may_see_gated
from gallery.views.sharing import shared_facts
from gallery.views.viewer import has_confirmed, may_generate
from imagineer.ids import parsed_id


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """The newest public pictures."""
    context = {"may_generate": may_generate(request.user)}
    return render_listing(request, "gallery/front.html", public_images(request), context)


@require_safe
def image(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = get_image(request.user, pk)
    walked, walk = _list_walked(request, found)
    newer, older = neighbours(walked, found)
    lineage = lineage_of(request.user, found, adult=has_confirmed(request))
    context = {
        "image": found,
        "covered": found.is_gated and not may_see_gated(request, found),
        "lineage": lineage,
        "found": None if lineage.generation else parameters_found(found),
        "verdict": _verdict(found),
        "newer": newer,
        "older": older,
        "walk": walk,
        "shared": shared_facts(request, found) if found.is_open_to_all else None,
        "may_generate": may_generate(request.user),
        **_editing(request.user, found),
    }
    return render(request, "gallery/image.html", context)


@login_required
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """One's own pictures: all, private, shared, or those in the trash."""
    choices = _mine_choices(request.user)
    show = request.GET.get("show", "")
    show = show if show in choices else ""
    tabs = [(key, title) for key, (title, _) in choices.items()]
    context = {"show": show, "tabs": tabs, "walk": "mine", "trashed": _just_trashed(request)}
    return render_listing(request, "gallery/mine.html", choices[show][1], context)


def public_images(request: HttpRequest) -> ImageQuerySet:
    images: ImageQuerySet = Image.objects.public().suited_to(adult=has_confirmed(request))
    return images


def _mine_choices(user: Any) -> dict[str, tuple[str, ImageQuerySet]]:
    own = Image.objects.owned_by(user)
    return {
        "": ("All", own),
        "private": ("Private", own.filter(visibility=Visibility.PRIVATE)),
        "public": ("Shared", own.exclude(visibility=Visibility.PRIVATE)),
        "trash": ("Trash", trashed_images(user)),
    }


def _just_trashed(request: HttpRequest) -> Image | None:
    """The picture that the way here offers to bring back."""
    known = parsed_id(request.GET.get("trashed", ""))
    found = get_trashed_image(request.user, known) if known else None
    return found if found and found.deleted_at else None


def _list_walked(request: HttpRequest, image: Image) -> tuple[ImageQuerySet, str]:
    """Left and right walk the list one came from."""
    own = request.user.is_authenticated and image.owner_id == request.user.pk
    if own and (request.GET.get("in") == "mine" or image.visibility != Visibility.PUBLIC):
        return Image.objects.owned_by(request.user), "mine"
    return public_images(request), ""


def _verdict(image: Image) -> Generation | None:
    """The latest time that this picture's generation was made again and compared."""
    if image.generation_id is None:
        return None
    verified = Generation.objects.filter(rerun_of=image.generation_id).exclude(verdict="")
    latest: Generation | None = verified.order_by("-finished_at").first()
    return latest


def _editing(user: Any, image: Image) -> dict[str, Any]:
    if not may_edit(user, image):
        return {"may_edit": False}
    rating = Rating.SAFE if image.rating == Rating.UNRATED else image.rating
    shared = Visibility.PUBLIC if image.visibility == Visibility.PRIVATE else image.visibility
    return {
        "may_edit": True,
        "publish_form": PublishForm(initial={"rating": rating, "visibility": shared}),
        "description_form": DescriptionForm(instance=image),
    }
