"""People, their tokens, and the traces the program leaves."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from imagineer.accounts import vouch_for_address
from imagineer.console_pages import ModelAdmin, ReadOnlyAdmin, counted
from imagineer.models import ApiToken, Cluster, Event, MaintenanceRecord, User
from imagineer.roles import MEMBER


class NewUserForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("email", "name", "groups")
        field_classes: dict[str, type[forms.Field]] = {}


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, type[forms.Field]] = {}


@admin.register(User)
class UserAdmin(ModelAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    """Operators give and take roles; what concerns administrators is for administrators."""

    form = UserForm
    add_form = NewUserForm
    list_display = ("email", "name", "roles", "state", "last_login", "date_joined")
    list_filter = ("is_active", "groups", "is_superuser")
    search_fields = ("email", "name")
    ordering = ("email",)
    date_hierarchy = "date_joined"
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    actions = ("activate", "deactivate")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Roles", {"fields": ("is_active", "groups", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "groups", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        guarded = () if request.user.is_superuser else ("is_superuser",)
        own = ("is_active",) if obj and obj.pk == request.user.pk else ()
        return (*self.readonly_fields, *guarded, *own)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Accounts are deactivated: their pictures keep their owner."""
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"groups": Group.objects.filter(name=MEMBER)}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs |= {"widget": forms.CheckboxSelectMultiple, "label": "Roles", "help_text": ""}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            vouch_for_address(obj)

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join((["administrator"] if user.is_superuser else []) + names)

    @admin.display(description="state", ordering="is_active")
    def state(self, user: User) -> SafeString:
        word = "active" if user.is_active else "deactivated"
        return format_html('<span class="state {}">{}</span>', word, word)

    @admin.action(description="Activate the selected accounts", permissions=["change"])
    def activate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._set_active(request, users, active=True)

    @admin.action(description="Deactivate the selected accounts", permissions=["change"])
    def deactivate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """At once: the next request of such an account is a stranger's. Nobody locks themselves out."""
        self._set_active(request, users.exclude(pk=request.user.pk), active=False)  # type: ignore[misc]

    def _set_active(self, request: HttpRequest, users: QuerySet[User], *, active: bool) -> None:
        changed = [user for user in users.filter(is_active=not active) if self.has_change_permission(request, user)]
        User.objects.filter(pk__in=[user.pk for user in changed]).update(is_active=active)
        verb = "activate" if active else "deactivate"
        for user in changed:
            Event.record(request.user, verb, user)
        messages.success(request, f"{counted(len(changed), 'account')} {verb}d.")


class NewTokenForm(forms.Form):
    user = forms.ModelChoiceField(queryset=User.objects.none(), help_text="The token may do what this account may.")
    name = forms.CharField(max_length=100, help_text="What it is for, so that you know which one to revoke.")
    scopes = forms.MultipleChoiceField(choices=ApiToken.Scope.choices, widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(
        label="Valid for days", min_value=1, max_value=3650, required=False, help_text="Empty: until it is revoked."
    )

    def __init__(self, *args: Any, issuer: Any, **kwargs: Any) -> None:
        """A token is its user's power: only administrators make one for an administrator."""
        super().__init__(*args, **kwargs)
        users = User.objects.filter(is_active=True)
        choice = self.fields["user"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = users if issuer.is_superuser else users.filter(is_superuser=False)
        choice.initial = issuer


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens are issued, shown once, and revoked; nothing else about them changes."""

    list_display = ("name", "prefix", "user", "allowed", "state", "last_used_at", "expires_at", "created_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "user")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__email")
    date_hierarchy = "created_at"
    fields = ("name", "prefix", "user", "allowed", "state", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("imagineer.add_apitoken"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("imagineer.change_apitoken"))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewTokenForm(request.POST or None, issuer=request.user)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "form": form, "title": "New API token"}
        if not form.is_valid():
            return TemplateResponse(request, "admin/token_form.html", context)
        user = form.cleaned_data.pop("user")
        token, secret = ApiToken.issue(user, **form.cleaned_data)
        self.log_addition(request, token, [{"added": {}}])
        context |= {"token": token, "secret": secret}
        return TemplateResponse(request, "admin/token_issued.html", context)

    @admin.display(description="may")
    def allowed(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        word = _token_state(token)
        return format_html('<span class="state {}">{}</span>', word, word)

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        revoked = [token for token in tokens if token.revoke()]
        for token in revoked:
            Event.record(request.user, "revoke", token)
        messages.success(request, f"{counted(len(revoked), 'token')} revoked.")


def _token_state(token: ApiToken) -> str:
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at and token.expires_at <= timezone.now() else "usable"


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "actor", "verb", "target_type", "target_id")
    list_filter = ("verb", "target_type")
    list_select_related = ("actor",)
    search_fields = ("target_id", "actor__email", "verb")
    date_hierarchy = "created_at"


@admin.register(MaintenanceRecord)
class MaintenanceRecordAdmin(ReadOnlyAdmin):
    list_display = ("name", "succeeded", "last_run_at", "first_run_at", "counts")


@admin.register(Cluster)
class ClusterAdmin(ReadOnlyAdmin):
    list_display = ("name", "queue", "state", "workers", "device", "loaded", "restarts", "started_at", "answered_at")
    list_filter = ("queue", "host")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cluster]:
        alive = Cluster.objects.all().alive().values("pk")
        return super().get_queryset(request).annotate(is_alive=Exists(alive.filter(pk=OuterRef("pk"))))

    @admin.display(description="state")
    def state(self, cluster: Any) -> SafeString:
        word = "alive" if cluster.is_alive else "silent"
        return format_html('<span class="state {}">{}</span>', word, word)
