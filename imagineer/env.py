"""Typed readers of environment variables.

Every reader also accepts `NAME_FILE`, a path whose content is the value (Docker and systemd secrets). A value that
can't be read as what it should be stops the program with a sentence that names the variable: a setting that is
silently ignored is worse than a program that doesn't start.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def load_dotenv(path: Path) -> None:
    """Reads `NAME=value` lines of a .env file; what the environment already holds wins."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ImproperlyConfigured(f"{path.name}, line {number}: expected NAME=value.")
        os.environ.setdefault(name.strip(), value.strip().strip("'\""))


def text(name: str, default: str = "") -> str:
    file = os.environ.get(f"{name}_FILE")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: can't read {file}: {error.strerror}.") from error
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool = False) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in _TRUE | _FALSE:
        return value in _TRUE
    raise ImproperlyConfigured(f"{name}={value!r}: expected one of 1, 0, true, false, yes, no, on, off.")


def integer(name: str, default: int, *, minimum: int | None = None, maximum: int | None = None) -> int:
    return int(_number(name, default, int, minimum, maximum))


def real(name: str, default: float, *, minimum: float | None = None, maximum: float | None = None) -> float:
    return float(_number(name, default, float, minimum, maximum))


def _number(name: str, default: float, kind: type[int | float], minimum: float | None, maximum: float | None) -> float:
    value = text(name)
    if not value:
        return default
    try:
        number = kind(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={value!r}: expected a number.") from error
    if minimum is not None and number < minimum:
        raise ImproperlyConfigured(f"{name}={value}: must be at least {minimum}.")
    if maximum is not None and number > maximum:
        raise ImproperlyConfigured(f"{name}={value}: must be at most {maximum}.")
    return number


def words(name: str, default: str = "") -> list[str]:
    """A list separated by commas or blanks."""
    return text(name, default).replace(",", " ").split()


def folder(name: str, default: Path) -> Path:
    return Path(text(name) or default).expanduser().resolve()
