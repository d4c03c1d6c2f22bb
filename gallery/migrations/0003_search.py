import django.db.models.deletion
from django.db import migrations, models

import gallery.models.search
from gallery.models.search import place_of
from gallery.words import document_of

SQLITE = (
    # Words come from gallery.words, lower case and separated by spaces: the tokenizer has nothing left to decide.
    """CREATE VIRTUAL TABLE gallery_searchentry USING fts5(
        text, content='gallery_searchdocument', content_rowid='id', tokenize='ascii', prefix='2 3 4 5 6 7 8')""",
    """CREATE TRIGGER gallery_searchdocument_added AFTER INSERT ON gallery_searchdocument BEGIN
        INSERT INTO gallery_searchentry(rowid, text) VALUES (new.id, new.text); END""",
    """CREATE TRIGGER gallery_searchdocument_removed AFTER DELETE ON gallery_searchdocument BEGIN
        INSERT INTO gallery_searchentry(gallery_searchentry, rowid, text) VALUES ('delete', old.id, old.text); END""",
    """CREATE TRIGGER gallery_searchdocument_changed AFTER UPDATE ON gallery_searchdocument BEGIN
        INSERT INTO gallery_searchentry(gallery_searchentry, rowid, text) VALUES ('delete', old.id, old.text);
        INSERT INTO gallery_searchentry(rowid, text) VALUES (new.id, new.text); END""",
)
POSTGRESQL = (
    "CREATE INDEX gallery_searchdocument_words ON gallery_searchdocument USING gin (to_tsvector('simple', text))",
)
BATCH = 500


def make_index(apps, schema_editor):
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


def drop_index(apps, schema_editor):
    """The triggers, and PostgreSQL's index, go with the documents' table."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE gallery_searchentry")


def fill(apps, schema_editor):
    document = apps.get_model("gallery", "SearchDocument")
    images = apps.get_model("gallery", "Image").objects.order_by("created_at", "id").select_related("generation")
    last, batch = 0, []
    for image in images.iterator(chunk_size=BATCH):
        last = max(last + 1, place_of(image.created_at, image.pk))
        prompt = image.generation.prompt if image.generation else ""
        text = document_of(image.title, image.alt, prompt)
        batch.append(document(id=last, image_id=image.pk, text=text))
        if len(batch) == BATCH:
            document.objects.bulk_create(batch)
            batch = []
    document.objects.bulk_create(batch)


class Migration(migrations.Migration):
    dependencies = [("gallery", "0002_roles")]

    operations = [
        migrations.CreateModel(
            name="SearchDocument",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("text", gallery.models.search.SearchText()),
                (
                    "image",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="document", to="gallery.image"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                (
                    "document",
                    models.OneToOneField(
                        db_column="rowid",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="entry",
                        serialize=False,
                        to="gallery.searchdocument",
                    ),
                ),
                ("text", gallery.models.search.SearchText()),
            ],
            options={"managed": False, "required_db_vendor": "sqlite"},
        ),
        migrations.RunPython(make_index, drop_index),
        migrations.RunPython(fill, migrations.RunPython.noop),
        # Lists are read newest first: with `rating` before the moment, all public pictures had to be sorted each time.
        migrations.RemoveIndex(model_name="image", name="image_public"),
        migrations.AddIndex(
            model_name="image",
            index=models.Index(fields=["visibility", "-created_at", "-id"], name="image_public"),
        ),
        migrations.AddIndex(
            model_name="image",
            index=models.Index(fields=["-created_at", "-id"], name="image_newest"),
        ),
    ]
