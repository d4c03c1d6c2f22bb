import django.db.models.deletion
from django.db import migrations, models

from imagineer.roles import MEMBER, OPERATOR, grant


def grant_permissions(apps, schema_editor):
    grant(apps, MEMBER, ["gallery.add_image"])
    grant(apps, OPERATOR, ["gallery.view_importedmetadata"])


class Migration(migrations.Migration):
    dependencies = [("gallery", "0003_search")]

    operations = [
        migrations.CreateModel(
            name="ImportedMetadata",
            fields=[
                (
                    "image",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="imported_metadata",
                        serialize=False,
                        to="gallery.image",
                    ),
                ),
                ("program", models.CharField(editable=False, max_length=20)),
                ("parameters", models.JSONField(editable=False, help_text="prompt, seed, steps, model, LoRAs …")),
                (
                    "raw",
                    models.JSONField(
                        editable=False, help_text="the file's texts as they were found, a million characters at most"
                    ),
                ),
            ],
            options={"verbose_name_plural": "imported metadata"},
        ),
        migrations.AddField("image", "caption", models.TextField(blank=True, max_length=2000)),
        migrations.AddField(
            "image",
            "frames",
            models.PositiveIntegerField(default=1, editable=False, help_text="more than 1: an animation"),
        ),
        migrations.AddField(
            "image",
            "sharpness",
            models.FloatField(
                editable=False,
                help_text="variance of the Laplacian at 600 px; some 100 and less looks blurred",
                null=True,
            ),
        ),
        migrations.AddField(
            "image",
            "thumbhash",
            models.CharField(blank=True, editable=False, help_text="Base64, some 25 bytes", max_length=60),
        ),
        migrations.AlterField("pendingfile", "key", models.CharField(db_index=True, max_length=200)),
        migrations.AddIndex(
            "image",
            models.Index(condition=models.Q(("deleted_at__isnull", False)), fields=["deleted_at"], name="image_trash"),
        ),
        migrations.RunPython(grant_permissions, migrations.RunPython.noop),
    ]
