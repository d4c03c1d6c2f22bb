"""What the console's pages stand on: bases for the apps' ModelAdmins, and the cells of their tables."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from imagineer import queue
from imagineer.children import log_path
from imagineer.models import Event
from imagineer.runs import Run, RunStatus

if TYPE_CHECKING:
    DjangoModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    DjangoModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline

LOG_BYTES = 20_000  # of the end of a run's log
GOING = (
    "status",
    "stage",
    "message",
    "done",
    "total",
    "error",
    "created_by",
    "created_at",
    "started_at",
    "finished_at",
    "cancel_requested_at",
)
HELD = (
    "priority",
    "attempt",
    "max_attempts",
    "lease_owner",
    "lease_until",
    "fence",
    "charged",
    "traceback",
)


class ModelAdmin(DjangoModelAdmin):
    """Base of every page of the console: what is done here is in the audit trail too."""

    list_per_page = 50
    show_full_result_count = False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title[:1].upper() + title[1:], **(extra_context or {})})

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        Event.record(request.user, "add", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        Event.record(request.user, "change", obj, fields=_changed_fields(message))
        return super().log_change(request, obj, message)


class ReadOnlyAdmin(ModelAdmin):
    """For what only the program writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RunAdmin(ModelAdmin):
    """Runs are looked at, cancelled and retried, never edited: their state has its own verbs."""

    change_form_template = "admin/run_change_form.html"
    actions = ("cancel_selected", "retry_selected")
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is special to the kind of run first, then how it goes, then how it is held."""
        named = {*GOING, *HELD, "id"}
        special = [field.name for field in self.opts.fields if field.name not in named]
        return (
            (None, {"fields": special}),
            ("How it goes", {"fields": GOING}),
            ("How it is held", {"fields": HELD, "classes": ("collapse",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.opts.fields]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        own = [
            path("<uuid:pk>/retry/", view(require_POST(self.retry_view)), name=f"{name}_retry"),
            path("<uuid:pk>/cancel/", view(require_POST(self.cancel_view)), name=f"{name}_cancel"),
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        context = {"log": _log_tail(run) if run else "", "show_save": False, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def retry_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        return self._act_on_one(request, pk, queue.resubmit, "The run waits in the queue again.", "It hadn't failed.")

    def cancel_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        return self._act_on_one(request, pk, _cancel, "The run is being cancelled.", "It had ended already.")

    @admin.action(description="Cancel the selected runs", permissions=["change"])
    def cancel_selected(self, request: HttpRequest, runs: QuerySet[Any]) -> None:
        self._act_on_many(request, runs, _cancel, "cancelled", "had ended already")

    @admin.action(description="Retry the selected runs", permissions=["change"])
    def retry_selected(self, request: HttpRequest, runs: QuerySet[Any]) -> None:
        self._act_on_many(request, runs, queue.resubmit, "requeued", "had not failed")

    @admin.display(description="state", ordering="status")
    def state(self, run: Run) -> SafeString:
        return state_cell(run)

    @admin.display(description="progress")
    def progress(self, run: Run) -> SafeString:
        return progress_cell(run)

    def _act_on_one(
        self, request: HttpRequest, pk: Any, act: Callable[[Run], bool], done: str, refused: str
    ) -> HttpResponse:
        run = get_object_or_404(self.model, pk=pk)
        if not self.has_change_permission(request, run):
            raise PermissionDenied
        if act(run):
            Event.record(request.user, act.__name__.strip("_"), run)
            messages.success(request, done)
        else:
            messages.warning(request, refused)
        return redirect("admin:index" if "dashboard" in request.POST else self._address(run))

    def _act_on_many(
        self, request: HttpRequest, runs: Iterable[Run], act: Callable[[Run], bool], done: str, refused: str
    ) -> None:
        outcomes = [(run, act(run)) for run in runs]
        won = [run for run, is_done in outcomes if is_done]
        for run in won:
            Event.record(request.user, act.__name__.strip("_"), run)
        rest = f", {len(outcomes) - len(won)} {refused}" if len(won) < len(outcomes) else ""
        messages.success(request, f"{counted(len(won), 'run')} {done}{rest}.")

    def _address(self, run: Run) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[run.pk])


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Cells -------------------------------------------------------------------------------------------------------------


def state_cell(run: Run) -> SafeString:
    """A coloured word, never a colour alone."""
    return format_html('<span class="state {}">{}</span>', run.status, run.get_status_display())


def progress_cell(run: Run) -> SafeString:
    if run.status != RunStatus.RUNNING:
        return SafeString("")
    cell = '<progress max="{}" value="{}" title="{}">{}</progress>'
    return format_html(cell, run.total or 1, run.done, run.message or run.stage, f"{run.fraction:.0%}")


def thumbnail_cell(address: str, alt: str) -> SafeString:
    return format_html('<img class="thumb" src="{}" width="40" height="40" loading="lazy" alt="{}">', address, alt)


def _cancel(run: Run) -> bool:
    return not run.is_terminal and run.request_cancel()


def _log_tail(run: Run) -> str:
    path = log_path(run)
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace")


def _changed_fields(message: Any) -> list[str]:
    if not isinstance(message, list):
        return []
    return [field for entry in message for field in entry.get("changed", {}).get("fields", ())]
