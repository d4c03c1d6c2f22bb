from django.db import migrations

from imagineer.roles import MEMBER, OPERATOR, grant

_CONSOLE = ["generation", "image", "diffusionmodel", "lora"]


def grant_permissions(apps, schema_editor):
    grant(apps, MEMBER, ["gallery.add_generation"])
    verbs = ("add", "change", "delete", "view")
    grant(apps, OPERATOR, [f"gallery.{verb}_{name}" for name in _CONSOLE for verb in verbs])


class Migration(migrations.Migration):
    dependencies = [("gallery", "0001_initial"), ("imagineer", "0002_roles")]
    operations = [migrations.RunPython(grant_permissions, migrations.RunPython.noop)]
