from typing import Any

from django.core.management.base import BaseCommand

from gallery.services.documents import rebuild_documents


class Command(BaseCommand):
    help = "Writes anew what search reads. Needed only after rows were changed behind the program's back."

    def handle(self, *args: Any, **options: Any) -> None:
        print(f"{rebuild_documents()} pictures can be searched.")
