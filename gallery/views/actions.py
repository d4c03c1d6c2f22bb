"""What people do with one picture: each a POST that calls one service and says how it went."""

from collections.abc import Callable
from functools import wraps
from typing import NoReturn
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from gallery.forms import DescriptionForm, PublishForm
from gallery.models import Image, Visibility
from gallery.services import pictures
from gallery.services.pictures import ImageChanges, get_image, get_trashed_image
from gallery.services.requests import rerun_generation
from gallery.views.cards import make_card
from gallery.views.viewer import is_htmx, next_page
from imagineer.errors import Conflict, FieldError, Invalid, TooMany

Act = Callable[[HttpRequest, Image], str]


def action(act: Act) -> Callable[..., HttpResponse]:
    """A view for `act(request, image)`, which returns the sentence to say. Refusals become sentences too."""

    @login_required
    @require_POST
    @wraps(act)
    def view(request: HttpRequest, pk: UUID) -> HttpResponse:
        image = get_trashed_image(request.user, pk) if act is _restore else get_image(request.user, pk)
        if not pictures.may_edit(request.user, image):
            raise PermissionDenied
        try:
            sentence, level = act(request, image), messages.SUCCESS
        except (Invalid, Conflict, TooMany) as refusal:
            sentence, level = _sentence(refusal), messages.ERROR
        return _answer(request, image, sentence, level)

    return view


def _publish(request: HttpRequest, image: Image) -> str:
    form = PublishForm(request.POST)
    if not form.is_valid():
        _complain(form)
    pictures.publish_image(request.user, image, **form.cleaned_data)
    if image.visibility == Visibility.UNLISTED:
        return "Everybody who has the link can see this picture now."
    return "Published: everybody can see this picture now."


def _unpublish(request: HttpRequest, image: Image) -> str:
    pictures.update_image(request.user, image, ImageChanges(visibility=Visibility.PRIVATE))
    return "Only you can see this picture now."


def _describe(request: HttpRequest, image: Image) -> str:
    form = DescriptionForm(request.POST)
    if not form.is_valid():
        _complain(form)
    pictures.update_image(request.user, image, ImageChanges(**form.cleaned_data))
    return "Saved."


def _trash(request: HttpRequest, image: Image) -> str:
    pictures.trash_image(request.user, image)
    return ""


def _restore(request: HttpRequest, image: Image) -> str:
    pictures.restore_image(request.user, image)
    return "The picture is back."


publish, unpublish, describe, trash, restore = map(action, (_publish, _unpublish, _describe, _trash, _restore))


@login_required
@permission_required("gallery.add_generation", raise_exception=True)
@require_POST
def verify(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Makes the picture's generation again and compares: the card on the create page tells the verdict."""
    image = get_image(request.user, pk)
    if image.generation is None:
        raise Http404("This picture wasn't generated here.")
    try:
        rerun = rerun_generation(request.user, image.generation)
    except (Invalid, Conflict, TooMany) as refusal:
        messages.error(request, _sentence(refusal))
        return redirect(image)
    return redirect(rerun)


def _answer(request: HttpRequest, image: Image, sentence: str, level: int) -> HttpResponse:
    """htmx asks from a card and gets the card; others go back to where they came from."""
    card = make_card(image.generation_id, request.user) if is_htmx(request) and image.generation_id else None
    if card:
        return render(request, "gallery/_generation_card.html", {"card": card, "said": sentence})
    if sentence:
        messages.add_message(request, level, sentence)
    if image.deleted_at:
        return redirect(f"{reverse('mine')}?trashed={image.pk}")
    return redirect(next_page(request, image.get_absolute_url()))


def _complain(form: BaseForm) -> NoReturn:
    raise Invalid(*(FieldError(name, str(error)) for name, errors in form.errors.items() for error in errors))


def _sentence(refusal: Exception) -> str:
    if isinstance(refusal, Invalid):
        return " ".join(f"{error.field.capitalize()}: {error.message}" for error in refusal.errors)
    return str(refusal)
