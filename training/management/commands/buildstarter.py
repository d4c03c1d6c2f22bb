from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.starter.cli import add_arguments, run
from training.starter.packages import PackageError
from training.starter.recipe import RecipeError


class Command(BaseCommand):
    help = "Builds the starter model from open emoji artwork; stopped or killed, it goes on where it was."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from argparse import Namespace

        try:
            run(Namespace(**options))
        except (RecipeError, PackageError) as error:
            raise CommandError(str(error)) from error
