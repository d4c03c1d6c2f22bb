from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.module_loading import autodiscover_modules


class ImagineerConfig(AppConfig):
    name = "imagineer"

    def ready(self) -> None:
        from imagineer import checks  # noqa: F401

        # Each app's tasks.py says what its runs do: needed wherever runs are listed, swept or performed.
        autodiscover_modules("tasks")


class ConsoleConfig(AdminConfig):
    default_site = "imagineer.console.Console"
