from django.contrib import admin
from django.urls import include, path

from imagineer import health

urlpatterns = [
    path("", include("gallery.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
