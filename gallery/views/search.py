"""The search page: everything it shows is said by its address."""

import secrets
from dataclasses import dataclass
from datetime import date
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from gallery.models import DiffusionModel, Lora, Rating, Source
from gallery.models.image import ImageQuerySet
from gallery.services.finding import Criteria, count_up_to, find_images, order_of, prepared
from gallery.services.pictures import RATINGS
from gallery.views.listing import render_listing
from gallery.views.viewer import has_confirmed, may_generate
from imagineer.models import User
from imagineer.pagination import Order

COUNTED = 1000  # pictures; of more it is only said that there are more
FACETS = ("source", "model", "lora", "rating", "owner", "since", "until")
SORTS = (("new", "Newest"), ("old", "Oldest"), ("random", "Shuffled"))
_PLACES = ("cursor", "pages", "start", "grown", "salt")


class SearchForm(forms.Form):
    """Reads the address; what makes no sense there is left out of the search and said so."""

    q = forms.CharField(required=False, max_length=500)
    source = forms.ChoiceField(required=False, choices=[("", "Any source"), *Source.choices])
    model = forms.ChoiceField(required=False)
    lora = forms.ChoiceField(required=False, label="LoRA")
    rating = forms.ChoiceField(required=False)
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="Until", widget=forms.DateInput(attrs={"type": "date"}))
    sort = forms.ChoiceField(required=False, choices=SORTS)
    owner = forms.RegexField(r"\A(me|[0-9]{1,18})\Z", required=False, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict, *, adult: bool) -> None:
        super().__init__(data)
        fields: dict[str, Any] = self.fields
        models = DiffusionModel.objects.filter(enabled=True).values_list("slug", "name")
        loras = Lora.objects.filter(enabled=True).values_list("slug", "name")
        fields["model"].choices = [("", "Any model"), *models]
        fields["lora"].choices = [("", "Any LoRA"), *loras]
        ceilings = [value for value in RATINGS if adult or value in Rating.open()]
        fields["rating"].choices = [("", "Any rating"), *((value, _up_to(value)) for value in ceilings)]

    def criteria(self) -> Criteria:
        self.is_valid()
        given = {name: value for name, value in self.cleaned_data.items() if value}
        return Criteria(**given)


@dataclass(frozen=True)
class Chip:
    """One restriction in words, and the address without it."""

    text: str
    without: str


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    form = SearchForm(request.GET, adult=has_confirmed(request))
    criteria = form.criteria()
    if criteria.sort == "random" and not request.GET.get("salt"):
        return redirect(_address(request, salt=secrets.token_hex(4)))
    images, order = _found(request, criteria)
    context = {
        "form": form,
        "criteria": criteria,
        "chips": _chips(request, form, criteria),
        "sorts": [(value, name, _address(request, sort=None if value == "new" else value)) for value, name in SORTS],
        "counted": COUNTED,
        "may_generate": may_generate(request.user),
    }
    if "grown" not in request.GET:
        context["count"] = count_up_to(images, criteria, COUNTED)
    return render_listing(request, "gallery/search.html", images, context, order)


def _found(request: HttpRequest, criteria: Criteria) -> tuple[ImageQuerySet, Order]:
    try:
        order = order_of(criteria, request.GET.get("salt", ""))
    except ValueError:
        order = order_of(criteria, "0" * 8)
    images = find_images(request.user, criteria, adult=has_confirmed(request))
    return prepared(images, order), order


def _chips(request: HttpRequest, form: SearchForm, criteria: Criteria) -> list[Chip]:
    values = {name: getattr(criteria, name) for name in FACETS}
    return [
        Chip(_in_words(form, name, value), _address(request, **{name: None}))
        for name, value in values.items()
        if value is not None
    ]


def _in_words(form: SearchForm, name: str, value: Any) -> str:
    if name == "owner":
        return "Your own" if value == "me" else f"By {_name_of(value)}"
    if isinstance(value, date):
        return f"{form.fields[name].label} {value:%-d %B %Y}"
    field: Any = form.fields[name]
    words = dict(field.choices)[value]
    kind = {"model": "Model: ", "lora": "LoRA: "}.get(name, "")
    return f"{kind}{words}" if kind else str(words).capitalize()


def _name_of(user_id: str) -> str:
    user = User.objects.filter(pk=int(user_id)).first()
    return user.display_name if user else "nobody"


def _up_to(rating: str) -> str:
    return f"{rating} only" if rating == RATINGS[0] else f"up to {rating}"


def _address(request: HttpRequest, **changes: Any) -> str:
    """This page's, from its first picture on, without what is empty."""
    query = QueryDict(mutable=True)
    for name, value in {**request.GET.dict(), **changes}.items():
        if value and (name not in _PLACES or name in changes):
            query[name] = str(value)
    return f"{request.path}?{query.urlencode()}" if query else request.path
