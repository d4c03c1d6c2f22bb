"""What a start does before anything is served. Each step finds out by itself whether it has to."""

import hashlib
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.utils.module_loading import import_string

from imagineer.accounts import vouch_for_address
from imagineer.models import User


@dataclass(frozen=True)
class FirstAdministrator:
    email: str
    password: str
    generated: bool


def prepare() -> FirstAdministrator | None:
    """Brings database, static files and the apps' own data up to date. Returns the administrator it made."""
    call_command("migrate", interactive=False, verbosity=0)
    collect_static_files()
    administrator = make_first_administrator()
    for step in settings.AT_START:
        import_string(step)()
    return administrator


def make_first_administrator() -> FirstAdministrator | None:
    """Only where nobody has an account yet, so that a later start changes nobody's password."""
    if User.objects.exists():
        return None
    password = settings.ADMIN_PASSWORD or secrets.token_urlsafe(12)
    user = User.objects.create_superuser(settings.ADMIN_EMAIL, password)
    vouch_for_address(user)
    return FirstAdministrator(user.email, password, generated=not settings.ADMIN_PASSWORD)


def collect_static_files() -> None:
    """Hashing and compressing takes seconds: done only when a source file or the tool has changed."""
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    wanted = _static_fingerprint()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(wanted)


def _static_fingerprint() -> str:
    backend = settings.STORAGES["staticfiles"]["BACKEND"]
    digest = hashlib.sha256(f"{backend} {version('whitenoise')} {version('django')}\n".encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
