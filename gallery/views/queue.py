"""One's own jobs while they wait and run."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gallery.models import Generation
from gallery.views.cards import Card, make_card, make_cards, with_details
from gallery.views.viewer import is_htmx, next_page

PANEL = 20


@login_required
@require_safe
@never_cache
def card(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One job's card alone, for polling; a browser without script gets the page it is on."""
    found = _card_or_404(request, pk)
    if not is_htmx(request):
        return redirect(found.generation)
    response = render(request, "gallery/_generation_card.html", {"card": found})
    if found.generation.is_terminal:
        response["HX-Trigger"] = "queueChanged"
    return response


@login_required
@require_safe
@never_cache
def panel(request: HttpRequest) -> HttpResponse:
    """The viewer's active jobs, as the header's panel shows them."""
    return _render_panel(request)


@login_required
@require_safe
@never_cache
def badge(request: HttpRequest) -> HttpResponse:
    return render(request, "_queue_badge.html")


@login_required
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    generation = _card_or_404(request, pk).generation
    won = generation.request_cancel()
    if not is_htmx(request):
        if not won:
            messages.info(request, "It had ended already.")
        return redirect(next_page(request, generation.get_absolute_url()))
    if "panel" in request.POST:
        response = _render_panel(request)
    else:
        response = render(request, "gallery/_generation_card.html", {"card": _card_or_404(request, pk)})
    response["HX-Trigger"] = "queueChanged"
    return response


@login_required
@require_safe
@never_cache
def preview(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The forming picture: its owner's and the operators' to see."""
    found = Generation.objects.visible_to(request.user).filter(pk=pk).first()
    try:
        picture = found.preview_path.read_bytes() if found else None
    except FileNotFoundError:  # the job has ended meanwhile
        picture = None
    if picture is None:
        raise Http404("There is no preview of this picture.")
    return HttpResponse(picture, content_type="image/jpeg")


def _render_panel(request: HttpRequest) -> HttpResponse:
    own = Generation.objects.filter(created_by=request.user)  # type: ignore[misc]  # members only
    active = own.active().order_by("created_at")
    cards = make_cards(with_details(active)[:PANEL])
    cards.sort(key=lambda card: card.position or 0)
    template = "gallery/_queue_panel.html" if is_htmx(request) else "gallery/queue.html"
    return render(request, template, {"cards": cards})


def _card_or_404(request: HttpRequest, pk: UUID) -> Card:
    found = make_card(pk, request.user)
    if found is None:
        raise Http404("There is no such job, or it isn't yours.")
    return found
