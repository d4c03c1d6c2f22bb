import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from imagineer.models import ApiToken, Event, User


class Command(BaseCommand):
    help = "Makes an API token for a user and prints it, once: it can't be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        scopes = ", ".join(ApiToken.Scope.values)
        parser.add_argument("email", help="whose token it is; it never may more than its user")
        parser.add_argument("--name", default="command line", help="what it is for (%(default)s)")
        parser.add_argument("--scopes", default="", help=f"separated by commas, of {scopes}; all when left out")
        parser.add_argument("--days", type=int, help="until it expires; never when left out")
        parser.add_argument("--json", action="store_true", help="print the token with its facts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user with the address {options['email']}.")
        if options["days"] is not None and options["days"] < 1:
            raise CommandError(f"--days is {options['days']}; it must be at least 1.")
        scopes = options["scopes"].replace(",", " ").split() or None
        try:
            token, secret = ApiToken.issue(user, name=options["name"], scopes=scopes, days=options["days"])
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"--{name}: {' '.join(said)}" for name, said in error.message_dict.items())
            ) from error
        Event.record(None, "issue token", token, user=user.email, scopes=token.scopes)
        self.stdout.write(json.dumps(_facts(token, secret)) if options["json"] else secret)


def _facts(token: ApiToken, secret: str) -> dict[str, Any]:
    return {
        "token": secret,
        "name": token.name,
        "user": token.user.email,
        "scopes": token.scopes,
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
    }
