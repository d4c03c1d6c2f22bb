from django.db import migrations

from imagineer.roles import MEMBER, OPERATOR, grant


def make_groups(apps, schema_editor):
    grant(apps, MEMBER, [])
    grant(
        apps,
        OPERATOR,
        [
            "imagineer.view_user",
            "imagineer.change_user",
            "imagineer.add_user",
            "imagineer.view_apitoken",
            "imagineer.add_apitoken",
            "imagineer.change_apitoken",
            "imagineer.view_event",
            "imagineer.view_maintenancerecord",
            "imagineer.view_cluster",
        ],
    )


class Migration(migrations.Migration):
    dependencies = [
        ("imagineer", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
