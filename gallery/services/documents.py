"""The documents that search reads: written with the pictures, by whoever changes a picture's words."""

from collections.abc import Iterable

from django.db import connection, transaction

from gallery.models import Generation, Image
from gallery.models.search import SearchDocument, place_of
from gallery.words import document_of

BATCH = 500


def refresh_document(image: Image) -> None:
    """Call it in the transaction that changes the picture's title, description or prompt."""
    text = _text_of(image)
    known = SearchDocument.objects.filter(image=image)
    if known.exclude(text=text).update(text=text) or known.exists():
        return
    SearchDocument.objects.create(id=_free_place(image), image=image, text=text)


def rebuild_documents() -> int:
    """Writes all documents anew, and SQLite's index; returns how many pictures there are."""
    with transaction.atomic():
        SearchDocument.objects.all().delete()
        images = Image.objects.order_by("created_at", "id").select_related("generation")
        count = write_documents(images.iterator(chunk_size=BATCH))
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO gallery_searchentry(gallery_searchentry) VALUES('rebuild')")
    return count


def write_documents(images: Iterable[Image]) -> int:
    """For many pictures that have none yet, oldest first."""
    count, last, batch = 0, 0, []
    for image in images:
        last = max(last + 1, place_of(image.created_at, image.pk))
        batch.append(SearchDocument(id=last, image=image, text=_text_of(image)))
        count += 1
        if len(batch) == BATCH:
            SearchDocument.objects.bulk_create(batch)
            batch = []
    SearchDocument.objects.bulk_create(batch)
    return count


def _free_place(image: Image) -> int:
    place = place_of(image.created_at, image.pk)
    while SearchDocument.objects.filter(pk=place).exists():
        place += 1
    return place


def _text_of(image: Image) -> str:
    generation: Generation | None = image.generation
    return document_of(image.title, image.alt, generation.prompt if generation else "")
