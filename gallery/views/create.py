from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from gallery.forms import MODEL_FIELDS, GenerationForm, lora_rows, rows_of, sampler_choices, values_of
from gallery.models import DiffusionModel, Generation, Image, Lora
from gallery.services import requests as limits
from gallery.services.parameters import Alike, request_like
from gallery.services.pictures import get_image
from gallery.services.requests import create_generation, request_of
from gallery.views.cards import Card, make_card, make_cards, with_details
from gallery.views.sizes import size_presets
from gallery.views.viewer import is_htmx
from imagineer.errors import Invalid, TooMany

SHOWN = 12  # generations beside the form
START = {"count": 1, "strength": limits.DEFAULT_STRENGTH}


@login_required
@permission_required("gallery.add_generation", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _submit(request)
    form, missing = _starting_form(request)
    context = {**_form_context(request, form), **_results(request), "missing": missing}
    return render(request, "gallery/create.html", context)


def _submit(request: HttpRequest) -> HttpResponse:
    form = GenerationForm(request.POST)
    generation, status = None, 422
    if "more_rows" in request.POST:
        status = 200
    elif form.is_valid():
        generation, status = _try_create(request, form)
    if generation is None:
        return _ask_again(request, form, status)
    if is_htmx(request):
        card = make_card(generation.pk, request.user)
        return render(request, "gallery/_generation_card.html", {"card": card})
    return redirect(generation)


def _try_create(request: HttpRequest, form: GenerationForm) -> tuple[Generation | None, int]:
    try:
        return create_generation(request.user, form.request()), 201
    except Invalid as refusal:
        form.refuse(refusal.errors)
        return None, 422
    except TooMany as refusal:
        form.add_error(None, f"{refusal} Try again in {refusal.retry_after} s.")
        return None, 429


def _ask_again(request: HttpRequest, form: GenerationForm, status: int) -> HttpResponse:
    """With everything as it was filled in."""
    context = _form_context(request, form)
    if not is_htmx(request):
        return render(request, "gallery/create.html", {**context, **_results(request)}, status=status)
    response = render(request, "gallery/_create_form.html", context, status=status)
    response["HX-Retarget"], response["HX-Reswap"] = "#create-form", "outerHTML"
    return response


def _starting_form(request: HttpRequest) -> tuple[GenerationForm, list[str]]:
    """Filled from a generation or picture that the address names, then from what it says itself; and what of the
    picture's making is missing here."""
    source = _source(request)
    values = values_of(source.request) if source else {}
    rows = lora_rows(request.GET) or (rows_of(source.request) if source else [])
    values |= {name: request.GET[name] for name in GenerationForm.base_fields if name in request.GET}
    form = GenerationForm(initial=START | _model_values(values.get("model")) | values, rows=rows)
    return form, source.missing if source else []


def _model_values(slug: str | None) -> dict[str, Any]:
    """The defaults of the model that the form begins with."""
    chosen = _chosen_model(list(DiffusionModel.objects.usable()), slug)
    return {name: getattr(chosen, name) for name in MODEL_FIELDS} if chosen else {}


def _source(request: HttpRequest) -> Alike | None:
    if wanted := _uuid(request.GET.get("generation")):
        generation = Generation.objects.visible_to(request.user).filter(pk=wanted).first()
        return Alike(request_of(generation)) if generation else None
    if wanted := _uuid(request.GET.get("like")):
        return request_like(get_image(request.user, wanted))
    return None


def _form_context(request: HttpRequest, form: GenerationForm) -> dict[str, Any]:
    models = list(DiffusionModel.objects.usable())
    chosen = _chosen_model(models, form["model"].value())
    return {
        "form": form,
        "models": [(model, size_presets(model)) for model in models],
        "chosen": chosen,
        "presets": size_presets(chosen) if chosen else [],
        "samplers": sampler_choices(),
        "loras": Lora.objects.usable().defer("metadata"),
        "limits": limits,
        "start_image": _start_image(request, form["init_image"].value()),
    }


def _chosen_model(models: list[DiffusionModel], slug: str | None) -> DiffusionModel | None:
    default = next((model for model in models if model.is_default), models[0] if models else None)
    return next((model for model in models if model.slug == slug), default)


def _start_image(request: HttpRequest, wanted: str | None) -> Image | None:
    known = _uuid(wanted)
    found: Image | None = Image.objects.visible_to(request.user).filter(pk=known).first() if known else None
    return found


def _results(request: HttpRequest) -> dict[str, Any]:
    """The newest cards and the one that the address names; a page without script waits for `follow`."""
    own = Generation.objects.filter(created_by=request.user)  # type: ignore[misc]  # members only
    cards = make_cards(with_details(own.order_by("-created_at", "-id"))[:SHOWN])
    named = _uuid(request.GET.get("generation"))
    if named and all(card.generation.pk != named for card in cards):
        cards = [*_optional(make_card(named, request.user)), *cards]
    active = [card for card in cards if not card.generation.is_terminal]
    follow = next((card for card in active if card.generation.pk == named), None)
    return {"cards": cards, "follow": follow, "named": named}


def _optional(card: Card | None) -> list[Card]:
    return [card] if card else []


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
