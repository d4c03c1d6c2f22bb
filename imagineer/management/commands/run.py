from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from imagineer.preparation import FirstAdministrator, prepare
from imagineer.probe import reachable
from imagineer.serving import Parent, ServingFailed, Stop, open_listener, serve


class Command(BaseCommand):
    help = "Prepares the database, then serves the site with its workers until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--without-workers", action="store_true", help="serve the site only; see `work`")
        parser.add_argument(
            "--follow-parent",
            action="store_true",
            help="stop when the process that started this one stops",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Stop(Parent() if options["follow_parent"] else None)
        stop.listen()
        try:
            with open_listener(settings.HOST, settings.PORT) as listener:
                self._introduce(prepare())
                serve(listener, stop, workers=not options["without_workers"], announce=self._announce)
        except ServingFailed as error:
            raise CommandError(str(error)) from error
        self._say("Stopped.")

    def _introduce(self, administrator: FirstAdministrator | None) -> None:
        if administrator is None:
            return
        self._say(f"The first administrator is {administrator.email}.")
        if administrator.generated:
            self._say(f"Password: {administrator.password}   (made now and shown only this once)")

    def _announce(self) -> None:
        host = reachable(settings.HOST)
        self._say(f"Imagineer is ready: http://{f'[{host}]' if ':' in host else host}:{settings.PORT}")
        if f"http://{settings.HOST}:{settings.PORT}" != settings.BASE_URL:
            self._say(f"Others reach it at {settings.BASE_URL}")
        self._say("Ctrl-C stops it.")

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()
