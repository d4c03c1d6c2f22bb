"""The operators' console: the Django admin behind the site's own door."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.template.response import TemplateResponse

# Pages of packages that are not for operators: django-q2's show and run pickles, allauth's hold secrets of providers,
# and the groups are written by migrations.
LEFT_OUT = {"auth.Group", "account.EmailConfirmation", "socialaccount.SocialApp", "socialaccount.SocialToken"}
APPS_LEFT_OUT = {"django_q"}


class Console(admin.AdminSite):
    site_header = "Imagineer"
    site_title = "Imagineer"
    index_title = "Console"
    enable_nav_sidebar = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        models = model_or_iterable if isinstance(model_or_iterable, list | tuple) else [model_or_iterable]
        kept = [
            model
            for model in models
            if model._meta.label not in LEFT_OUT and model._meta.app_label not in APPS_LEFT_OUT
        ]
        super().register(kept, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_authenticated and request.user.is_operator)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from imagineer.dashboard import look

        return super().index(request, {"board": look(self), **(extra_context or {})})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one log-in, with its rate limits: the site's. Whoever came through it and may not in stays out."""
        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            raise PermissionDenied
        wanted = request.GET.get("next") or resolve_url("admin:index")
        return redirect_to_login(wanted, resolve_url("account_login"))

    def password_change(  # type: ignore[override]  # a redirect instead of a page
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account_change_password")
