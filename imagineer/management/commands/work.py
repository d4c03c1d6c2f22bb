from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from imagineer.supervisor import AlreadyRunning, Supervisor


class Command(BaseCommand):
    help = "Runs the supervised worker clusters of this machine until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            action="append",
            choices=sorted(settings.QUEUES),
            help="a queue to serve; repeatable (all of them)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            Supervisor(options["queue"] or list(settings.QUEUES)).run()
        except AlreadyRunning as error:
            raise CommandError(str(error)) from error
