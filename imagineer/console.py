"""The operators' console: the Django admin behind the site's own door."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url


class Console(admin.AdminSite):
    site_header = "Imagineer"
    site_title = "Imagineer"
    index_title = "Console"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_authenticated and request.user.is_operator)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one log-in, with its rate limits: the site's."""
        return redirect_to_login(request.get_full_path(), resolve_url("account_login"))
