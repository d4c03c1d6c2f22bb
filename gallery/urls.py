from django.conf import settings
from django.urls import path
from django.views.generic import RedirectView

from gallery.views import actions, create, feeds, gate, loras, media, pictures, queue, search, upload

urlpatterns = [
    path("", pictures.front, name="front"),
    path("images/<uuid:pk>", pictures.image, name="image"),
    path("images/<uuid:image_id>/file", media.image_file, name="image_file"),
    path("images/<uuid:image_id>/thumbnail/<int:size>.webp", media.image_thumbnail, name="image_thumbnail"),
    path("images/<uuid:pk>/publish", actions.publish, name="image_publish"),
    path("images/<uuid:pk>/unpublish", actions.unpublish, name="image_unpublish"),
    path("images/<uuid:pk>/describe", actions.describe, name="image_describe"),
    path("images/<uuid:pk>/trash", actions.trash, name="image_trash"),
    path("images/<uuid:pk>/restore", actions.restore, name="image_restore"),
    path("images/<uuid:pk>/verify", actions.verify, name="image_verify"),
    path("search", search.search, name="search"),
    path("loras", loras.loras, name="loras"),
    path("loras/<slug:slug>", loras.lora, name="lora"),
    path("feed.atom", feeds.NewestPictures(), name="feed"),
    path("sitemap.xml", feeds.sitemap_index, name="sitemap"),
    path("sitemap-<section>.xml", feeds.sitemap, name="sitemap_section"),
    path("robots.txt", feeds.robots, name="robots"),
    path("create", create.create, name="create"),
    path("generations/<uuid:pk>/card", queue.card, name="generation_card"),
    path("generations/<uuid:pk>/cancel", queue.cancel, name="generation_cancel"),
    path("generations/<uuid:pk>/preview", queue.preview, name="generation_preview"),
    path("mine", pictures.mine, name="mine"),
    path("upload", upload.upload, name="upload"),
    path("queue", queue.panel, name="queue"),
    path("queue/badge", queue.badge, name="queue_badge"),
    path("adult", gate.adult, name="adult"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}icon.svg")),
]
