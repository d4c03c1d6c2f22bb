from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gallery.engine.samplers import SAMPLERS
from gallery.models import DiffusionModel, Generation, GenerationLora, Image, Lora, Visibility
from gallery.services import pictures
from gallery.services.pictures import RATINGS, ImageChanges
from imagineer.console_pages import ModelAdmin, RunAdmin, TabularInline, counted, thumbnail_cell
from imagineer.errors import Conflict, Invalid
from imagineer.models import Event


def picture_cell(image: Image | None) -> SafeString:
    """What is in the trash isn't served to anybody: its colour stands for it."""
    if image is None:
        return SafeString("")
    if image.deleted_at:
        swatch = '<svg class="thumb" width="40" height="40" role="img" aria-label="in the trash">'
        return format_html(swatch + '<rect width="40" height="40" fill="{}"/></svg>', image.color)
    return thumbnail_cell(reverse("image_thumbnail", args=[image.pk, 300]), image.alt[:120] or "Picture")


class LoraInline(TabularInline):
    model = GenerationLora
    extra = 0
    can_delete = False
    fields = readonly_fields = ("lora", "weight")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Generation)
class GenerationAdmin(RunAdmin):
    list_display = ("thumbnail", "asked", "state", "progress", "created_by", "model", "created_at", "took")
    list_display_links = ("asked",)
    list_filter = ("status", "model", "created_at", "verdict")
    list_select_related = ("created_by", "model")
    search_fields = ("id", "prompt", "created_by__email")
    inlines = (LoraInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        first = Prefetch("images", Image.objects.filter(index=0), to_attr="first_pictures")
        return super().get_queryset(request).prefetch_related(first)

    @admin.display(description="picture")
    def thumbnail(self, generation: Any) -> SafeString:
        return picture_cell(generation.first_pictures[0] if generation.first_pictures else None)

    @admin.display(description="prompt", ordering="prompt")
    def asked(self, generation: Generation) -> str:
        return generation.prompt[:80]

    @admin.display(description="seconds", ordering="seconds")
    def took(self, generation: Generation) -> str:
        return f"{generation.seconds:.1f}" if generation.seconds is not None else ""


class TrashFilter(admin.SimpleListFilter):
    title = "place"
    parameter_name = "place"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("kept", "Kept"), ("trash", "In the trash")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Image]) -> QuerySet[Image]:
        if self.value() == "kept":
            return queryset.filter(deleted_at=None)
        return queryset.exclude(deleted_at=None) if self.value() == "trash" else queryset


# Pictures ------------------------------------------------------------------------------------------------------------

Act = Callable[[HttpRequest, Image], object]


def _action(name: str, description: str, done: str, act: Act) -> Any:
    """An action on pictures that calls one service for each and counts."""

    @admin.action(description=description, permissions=["change"])
    def run(model_admin: Any, request: HttpRequest, images: Iterable[Image]) -> None:
        answers = [_try(act, request, image) for image in images]
        refusals = [answer for answer in answers if answer]
        messages.success(request, f"{counted(len(answers) - len(refusals), 'picture')} {done}.")
        for refusal in dict.fromkeys(refusals):
            messages.warning(request, refusal)

    run.__name__ = name
    return run


def _try(act: Act, request: HttpRequest, image: Image) -> str:
    """Why not; empty when it is done."""
    try:
        act(request, image)
    except (Conflict, Invalid) as refusal:
        return str(refusal)
    return ""


def _update(**changes: str) -> Act:
    return lambda request, image: pictures.update_image(request.user, image, ImageChanges(**changes))


def _lock(locked: bool) -> Act:
    return lambda request, image: lock_rating(request.user, image, locked=locked)


IMAGE_ACTIONS = (
    _action("publish", "Publish", "published", lambda request, image: pictures.publish_image(request.user, image)),
    _action("make_private", "Make private", "made private", _update(visibility=Visibility.PRIVATE)),
    *(_action(f"rate_{rating}", f"Rate {rating}", f"rated {rating}", _update(rating=rating)) for rating in RATINGS),
    _action("lock_rating", "Lock the rating", "locked", _lock(True)),
    _action("unlock_rating", "Unlock the rating", "unlocked", _lock(False)),
    _action("trash", "Move to the trash", "moved to the trash", lambda r, image: pictures.trash_image(r.user, image)),
    _action("restore", "Bring back", "brought back", lambda r, image: pictures.restore_image(r.user, image)),
)


def lock_rating(user: Any, image: Image, *, locked: bool) -> None:
    """A locked rating is changed by operators only."""
    if Image.objects.filter(pk=image.pk, rating_locked=not locked).update(rating_locked=locked):
        Event.record(user, "lock rating" if locked else "unlock rating", image)


@admin.register(Image)
class ImageAdmin(ModelAdmin):
    list_display = ("thumbnail", "called", "owner", "place", "rated", "size", "source", "created_at")
    list_display_links = ("called",)
    list_filter = (TrashFilter, "visibility", "rating", "rating_locked", "source", "created_at")
    list_select_related = ("owner",)
    search_fields = ("id", "title", "alt", "owner__email", "sha256")
    date_hierarchy = "created_at"
    actions = IMAGE_ACTIONS
    edited = ("title", "alt", "visibility", "rating", "licence", "author")
    fieldsets = (
        (None, {"fields": ("thumbnail", "title", "alt")}),
        ("Who sees it", {"fields": ("visibility", "rating", "rating_source", "rating_locked")}),
        ("Rights", {"fields": ("licence", "author", "source_url")}),
        ("Where it comes from", {"fields": ("owner", "source", "generation", "index", "seed", "created_at")}),
        ("File", {"fields": ("format", "width", "height", "bytes", "sha256", "deleted_at"), "classes": ("collapse",)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        shown = [name for _, options in self.fieldsets for name in options["fields"]]
        return [name for name in shown if name not in self.edited]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The trash first, and what has been there for 30 days goes by itself."""
        return False

    def save_model(self, request: HttpRequest, obj: Image, form: Any, change: bool) -> None:
        given = {name: form.cleaned_data[name] for name in form.changed_data}
        pictures.update_image(request.user, obj, ImageChanges(**given))

    @admin.display(description="picture")
    def thumbnail(self, image: Image) -> SafeString:
        return picture_cell(image)

    @admin.display(description="name", ordering="title")
    def called(self, image: Image) -> str:
        return (image.title or image.alt)[:60] or str(image.pk)

    @admin.display(description="visibility", ordering="visibility")
    def place(self, image: Image) -> SafeString:
        word = "in the trash" if image.deleted_at else image.get_visibility_display()
        return format_html('<span class="state {}">{}</span>', "trash" if image.deleted_at else image.visibility, word)

    @admin.display(description="rating", ordering="rating")
    def rated(self, image: Image) -> str:
        notes = [image.rating_source] if image.rating_source else []
        notes += ["locked"] if image.rating_locked else []
        return f"{image.get_rating_display()} ({', '.join(notes)})" if notes else image.get_rating_display()

    @admin.display(description="size")
    def size(self, image: Image) -> str:
        return f"{image.width} × {image.height}"


# Models and LoRAs ----------------------------------------------------------------------------------------------------


class RegistryAdmin(ModelAdmin):
    """Rows that `manage.py models` and `manage.py loras` write from the files; people set names, defaults, a switch."""

    edited: tuple[str, ...] = ()
    actions: tuple[str, ...] = ("enable", "disable")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        machine = [field.name for field in self.opts.fields if field.name not in (*self.edited, "modules", "id")]
        return [*self.edited, *machine]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name not in self.edited]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Pictures show which model and LoRAs they were made with; disabling takes one out of the forms."""
        return False

    @admin.display(description="state", ordering="enabled")
    def state(self, row: Any) -> SafeString:
        word = "enabled" if row.enabled else "disabled"
        if row.reason:
            word = "unusable"
        return format_html('<span class="state {}" title="{}">{}</span>', word, row.reason, word)

    @admin.display(description="MB", ordering="bytes")
    def megabytes(self, row: Any) -> str:
        return f"{row.bytes / 1e6:.0f}"

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self._switch(request, rows, enabled=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self._switch(request, rows, enabled=False)

    def _switch(self, request: HttpRequest, rows: QuerySet[Any], *, enabled: bool) -> None:
        changed = list(rows.filter(enabled=not enabled))
        rows.model.objects.filter(pk__in=[row.pk for row in changed]).update(enabled=enabled)
        verb = "enable" if enabled else "disable"
        for row in changed:
            Event.record(request.user, verb, row)
        messages.success(request, f"{counted(len(changed), str(self.opts.verbose_name))} {verb}d.")


@admin.register(DiffusionModel)
class DiffusionModelAdmin(RegistryAdmin):
    list_display = ("name", "slug", "family", "kind", "is_default", "state", "megabytes", "licence", "added_at")
    list_filter = ("family", "kind", "enabled")
    search_fields = ("name", "slug", "hub_id")
    edited = ("name", "enabled", "licence", "width", "height", "steps", "guidance", "sampler", "upscale")
    actions = ("make_default", "enable", "disable")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "sampler":
            return forms.ChoiceField(choices=[(name, name) for name in SAMPLERS])
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.action(description="Make it the default", permissions=["change"])
    def make_default(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        chosen = list(rows[:2])
        if len(chosen) != 1 or not chosen[0].available:
            messages.error(request, "Select one model that is enabled and usable: there is one default.")
            return
        chosen[0].make_default()
        Event.record(request.user, "make default", chosen[0])
        messages.success(request, f"The default model is {chosen[0]} now.")


@admin.register(Lora)
class LoraAdmin(RegistryAdmin):
    list_display = (
        "thumbnail",
        "name",
        "family",
        "rank",
        "default_weight",
        "state",
        "megabytes",
        "licence",
        "created_at",
    )
    list_display_links = ("name",)
    list_filter = ("family", "enabled", "created_at")
    list_select_related = ("preview",)
    search_fields = ("name", "slug", "description")
    edited = ("name", "enabled", "default_weight", "trigger_words", "description", "licence")

    @admin.display(description="picture")
    def thumbnail(self, lora: Lora) -> SafeString:
        return picture_cell(lora.preview)
