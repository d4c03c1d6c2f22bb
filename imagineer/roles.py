"""The two roles. What each may do is written in migrations, as permissions of a Django group of that name."""

from collections.abc import Iterable
from typing import Any

MEMBER = "member"
OPERATOR = "operator"


def grant(apps: Any, role: str, labels: Iterable[str]) -> None:
    """For data migrations: gives a role permissions such as `gallery.add_generation`.

    Django makes permission rows after all migrations have run, so they are made here when they are missing.
    """
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
    for label in labels:
        app_label, _, codename = label.partition(".")
        model_name = codename.rpartition("_")[2]
        content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
            app_label=app_label, model=model_name
        )
        permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
            content_type=content_type,
            codename=codename,
            defaults={"name": f"Can {codename.replace('_', ' ')}"},
        )
        group.permissions.add(permission)
