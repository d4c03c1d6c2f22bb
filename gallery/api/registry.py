from dataclasses import asdict
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest
from ninja import Query, Router
from pydantic import Field

from gallery.engine.samplers import SAMPLERS
from gallery.models import DiffusionModel, Lora
from gallery.schemas import LoraOut, ModelOut, SamplerOut, ThemeOut
from gallery.services.registry import why_lora_does_not_fit
from gallery.services.themes import random_theme
from imagineer.api_auth import OPEN
from imagineer.errors import FieldError, Invalid
from imagineer.pagination import Order, PageParameters, QueryParameters, is_row_id, paginate, row_id
from imagineer.schemas import Page, Text

router = Router(tags=["models"])
MODELS = Order("models", field="added_at", parse_id=row_id)
LORAS = Order("loras", parse_id=row_id)
_MODEL = Field(None, max_length=80, description="slug of the model it should fit; the default model when left out")


class LoraListQuery(PageParameters):
    model: Text | None = _MODEL


class LoraQuery(QueryParameters):
    model: Text | None = _MODEL


@router.get("/models", auth=OPEN, response=Page[ModelOut], summary="Models")
def list_models(request: HttpRequest, query: Query[PageParameters]) -> Page[ModelOut]:
    """Those that can't be used say why. What operators have switched off only they see."""
    found, following = paginate(_known(DiffusionModel, request), query, MODELS)
    default = DiffusionModel.objects.default()
    items = [ModelOut.of(model, is_default=model == default) for model in found]
    return Page[ModelOut](items=items, next=following)


@router.get("/samplers", auth=OPEN, response=Page[SamplerOut], summary="Samplers")
def list_samplers(request: HttpRequest) -> Page[SamplerOut]:
    """All of them at once."""
    items = [
        SamplerOut(name=spec.name, description=spec.summary, stochastic=spec.stochastic, evaluations=spec.evaluations)
        for spec in SAMPLERS.values()
    ]
    return Page[SamplerOut](items=items, next=None)


@router.get("/loras", auth=OPEN, response=Page[LoraOut], summary="LoRAs")
def list_loras(request: HttpRequest, query: Query[LoraListQuery]) -> Page[LoraOut]:
    """Those that don't fit the model say why."""
    model = _model(query.model)
    loras = _known(Lora, request).defer(None).defer("metadata")
    found, following = paginate(loras, query, LORAS)
    return Page[LoraOut](items=[_lora_out(lora, model) for lora in found], next=following)


@router.get("/loras/{lora_id}", auth=OPEN, response=LoraOut, summary="One LoRA")
def get_lora(request: HttpRequest, lora_id: str, query: Query[LoraQuery]) -> LoraOut:
    """By its id or its slug."""
    by_id = Q(pk=int(lora_id)) if is_row_id(lora_id) else Q(pk__in=())
    named = by_id | Q(slug=lora_id) if lora_id.isprintable() else by_id  # PostgreSQL won't even compare with NUL
    lora = _known(Lora, request).filter(named).order_by("pk").first()
    if lora is None:
        raise Http404("There is no such LoRA.")
    return _lora_out(lora, _model(query.model))


@router.get("/themes/random", auth=OPEN, response=ThemeOut, summary="A few words to begin with")
def get_random_theme(request: HttpRequest) -> ThemeOut:
    theme = random_theme()
    return ThemeOut(theme=theme.prompt, **asdict(theme))


def _known(kind: Any, request: HttpRequest) -> Any:
    is_operator = request.user.is_authenticated and request.user.is_operator
    return kind.objects.all() if is_operator else kind.objects.filter(enabled=True)


def _model(slug: str | None) -> DiffusionModel | None:
    if slug is None:
        default: DiffusionModel | None = DiffusionModel.objects.defer(None).default()
        return default
    model: DiffusionModel | None = DiffusionModel.objects.defer(None).filter(slug=slug, enabled=True).first()
    if model is None:
        raise Invalid(FieldError("model", f"there is no model named {slug!r}."))
    return model


def _lora_out(lora: Lora, model: DiffusionModel | None) -> LoraOut:
    if not lora.enabled:
        return LoraOut.of(lora, reason="An operator has switched it off.")
    reason = lora.reason or (why_lora_does_not_fit(lora, model) if model else "There is no model to fit it to.")
    return LoraOut.of(lora, reason=reason)
