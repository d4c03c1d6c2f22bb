"""The LoRAs there are: what each does, shown by pictures that the visitor may see anyway."""

from typing import Any

from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from gallery.models import DiffusionModel, GenerationLora, Lora
from gallery.services.finding import Criteria, find_images
from gallery.services.registry import why_lora_does_not_fit
from gallery.views.listing import render_listing
from gallery.views.viewer import has_confirmed, may_generate


@require_safe
def loras(request: HttpRequest) -> HttpResponse:
    """All that can be used, with the preview that was chosen or the newest picture, if the visitor may see it."""
    shown = list(known_loras(request.user).defer("modules", "metadata").annotate(newest=_newest_with_it(request)))
    covers = {lora.preview_id for lora in shown} | {lora.newest for lora in shown}
    seen = find_images(request.user, Criteria(), adult=has_confirmed(request)).in_bulk(covers - {None})
    rows = [(lora, seen.get(lora.preview_id) or seen.get(lora.newest)) for lora in shown]
    return render(request, "gallery/loras.html", {"rows": rows, "may_generate": may_generate(request.user)})


@require_safe
def lora(request: HttpRequest, slug: str) -> HttpResponse:
    found: Lora | None = known_loras(request.user).defer(None).defer("metadata").filter(slug=slug).first()
    if found is None:
        raise Http404("There is no such LoRA.")
    models = DiffusionModel.objects.usable().defer(None)
    fitting = [model for model in models if not why_lora_does_not_fit(found, model)]
    context = {"lora": found, "fitting": fitting, "may_generate": may_generate(request.user)}
    pictures = find_images(request.user, Criteria(lora=slug), adult=has_confirmed(request))
    return render_listing(request, "gallery/lora.html", pictures, context)


def known_loras(user: Any) -> Any:
    """What operators have switched off, or what can't be used, only they see."""
    return Lora.objects.all() if getattr(user, "is_operator", False) else Lora.objects.usable()


def _newest_with_it(request: HttpRequest) -> Subquery:
    """The id of the newest picture made with a LoRA."""
    seen = find_images(request.user, Criteria(), adult=has_confirmed(request))
    uses = GenerationLora.objects.filter(lora=OuterRef(OuterRef("pk"))).values("generation")
    return Subquery(seen.filter(generation__in=uses).order_by("-created_at", "-id").values("pk")[:1])
