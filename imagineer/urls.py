from django.contrib import admin
from django.urls import include, path

from imagineer import health, metrics
from imagineer.api import api

urlpatterns = [
    path("", include("gallery.urls")),
    path("api/v1/", api.urls),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]
