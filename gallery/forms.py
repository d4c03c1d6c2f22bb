"""What people fill in: forms turn text into values and keep it on an error; the services know the limits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict

from gallery.engine.samplers import SAMPLERS
from gallery.models import DiffusionModel, Image, Rating, Visibility
from gallery.services import requests as limits
from gallery.services.requests import GenerationRequest, LoraChoice
from imagineer.errors import FieldError

MODEL_FIELDS = (
    "width",
    "height",
    "steps",
    "guidance",
    "sampler",
    "upscale",
)  # the model has defaults


@dataclass(frozen=True)
class LoraRow:
    lora: str
    weight: str


class GenerationForm(forms.Form):
    """Everything of a request but the LoRAs, which are rows of `lora` and `weight`."""

    prompt = forms.CharField(required=False)
    negative_prompt = forms.CharField(required=False)
    model = forms.CharField(required=False)
    for_model = forms.CharField(required=False)
    width = forms.IntegerField(required=False)
    height = forms.IntegerField(required=False)
    steps = forms.IntegerField(required=False)
    guidance = forms.FloatField(required=False)
    sampler = forms.CharField(required=False)
    seed = forms.IntegerField(required=False)
    count = forms.IntegerField(required=False)
    upscale = forms.IntegerField(required=False)
    init_image = forms.CharField(required=False)
    strength = forms.FloatField(required=False)
    visibility = forms.ChoiceField(required=False, choices=Visibility.choices)

    def __init__(self, *args: Any, rows: Iterable[LoraRow] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = lora_rows(self.data) if self.is_bound else list(rows)  # type: ignore[arg-type]
        self.loras_errors: list[str] = []

    @property
    def lora_rows(self) -> list[LoraRow]:
        """With one more to fill in, as far as more are allowed."""
        spare = [LoraRow("", "")] if len(self.rows) < limits.LORA_LIMIT else []
        return [*self.rows, *spare]

    @property
    def sides(self) -> list[forms.BoundField]:
        return [self["width"], self["height"]]

    @property
    def more_has_errors(self) -> bool:
        """Whether something in the folded part needs to be seen."""
        return any(self[name].errors for name in ("steps", "guidance", "sampler", "upscale", "visibility"))

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        values["loras"] = [self._choice(row) for row in self.rows if row.lora]
        return values

    def _choice(self, row: LoraRow) -> LoraChoice:
        try:
            return LoraChoice(row.lora, float(row.weight) if row.weight.strip() else None)
        except ValueError:
            message = f"The weight of {row.lora} is {row.weight!r}; it must be a number."
            self.loras_errors.append(message)
            raise forms.ValidationError("A LoRA's weight is not a number.") from None

    def request(self) -> GenerationRequest:
        values = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        known, chosen = values.pop("for_model", None), values.get("model")
        if known and known != chosen:
            self._follow(DiffusionModel.objects.filter(slug=known).first(), values)
        return GenerationRequest(**{"prompt": "", **values})

    @staticmethod
    def _follow(known: DiffusionModel | None, values: dict[str, Any]) -> None:
        """Without a script the old model's defaults stay in the form; they mean the new model's."""
        for name in MODEL_FIELDS if known else ():
            if values.get(name) == getattr(known, name):
                del values[name]

    def refuse(self, errors: Iterable[FieldError]) -> None:
        """Puts the refusals of a service beside the fields they name."""
        for error in errors:
            sentence = _as_sentence(error)
            if error.field == "loras":
                self.loras_errors.append(sentence)
            else:
                self.add_error(error.field if error.field in self.fields else None, sentence)


def _as_sentence(error: FieldError) -> str:
    """Messages either continue the field's name ("is 9; …") or stand by themselves ("there is no …")."""
    if error.message.split(" ", 1)[0] in ("is", "has", "contains", "only"):
        return f"{error.field.replace('_', ' ').capitalize()} {error.message}"
    return f"{error.message[:1].upper()}{error.message[1:]}"


def lora_rows(data: QueryDict) -> list[LoraRow]:
    names, weights = data.getlist("lora"), data.getlist("weight")
    weights += [""] * (len(names) - len(weights))
    rows = [LoraRow(name, weight) for name, weight in zip(names, weights, strict=False) if name]
    return rows[: limits.LORA_LIMIT + 1]


def values_of(request: GenerationRequest) -> dict[str, Any]:
    """A request as the form's initial values; `loras` become rows."""
    values = {name: getattr(request, name, None) for name in GenerationForm.base_fields}
    return {name: value for name, value in values.items() if value is not None}


def rows_of(request: GenerationRequest) -> list[LoraRow]:
    return [LoraRow(choice.lora, "" if choice.weight is None else f"{choice.weight:g}") for choice in request.loras]


class UploadForm(forms.Form):
    """What is said of all files that are sent together; the service knows its limits."""

    visibility = forms.ChoiceField(
        label="Who may see them",
        required=False,
        choices=[
            (Visibility.PRIVATE, "Only you"),
            (Visibility.UNLISTED, "Everybody who has the link"),
            (Visibility.PUBLIC, "Everybody, on the front page"),
        ],
    )
    caption = forms.CharField(
        label="What they show",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One description for all, or nothing.",
    )


class PublishForm(forms.Form):
    visibility = forms.ChoiceField(
        label="Who may see it",
        choices=[
            (Visibility.PUBLIC, "Everybody, on the front page"),
            (Visibility.UNLISTED, "Everybody who has the link"),
        ],
    )
    rating = forms.ChoiceField(label="Rating", choices=[c for c in Rating.choices if c[0] != Rating.UNRATED])


class DescriptionForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Image
        fields = ("title", "alt", "licence", "author")
        labels = {"alt": "Description for those who can't see it", "licence": "Licence"}


def sampler_choices() -> list[tuple[str, str]]:
    return [(name, spec.summary) for name, spec in SAMPLERS.items()]
