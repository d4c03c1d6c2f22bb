"""What people send: each file is taken or refused with a reason, and the others go on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from gallery.decoder import Refused
from gallery.models import Image, ImportedMetadata, Rating, Source, Visibility
from gallery.services.decoding import Decoded, decode_confined, too_large
from gallery.services.intake import enter_picture
from gallery.services.pictures import bring_back
from imagineer.errors import FieldError, Invalid
from imagineer.models import Event
from imagineer.storage import sha256_of

NEAR = 4  # bits of 64 in which the difference hashes of near duplicates differ
NEAR_SHOWN = 10
_SEED_LIMIT = 2**63  # what the column holds


@dataclass(frozen=True)
class Upload:
    """A file that has arrived at `path`; of one with `is_too_large` nothing has been kept."""

    name: str
    path: Path
    is_too_large: bool = False


@dataclass(frozen=True)
class Taken:
    """`duplicate`: the owner had these very bytes already. `near` looks alike: ids, nearest first, at most 10."""

    name: str
    image: Image
    duplicate: bool = False
    near: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Rejected:
    name: str
    code: str
    reason: str


@dataclass
class Intake:
    taken: list[Taken] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def is_too_large(self) -> bool:
        return not self.taken and bool(self.rejected) and all(each.code == "bytes" for each in self.rejected)


def take_uploads(user: Any, uploads: Iterable[Upload], *, visibility: str | None = None, caption: str = "") -> Intake:
    """Takes each file in as the user's own picture. Raises Invalid when it is asked for what can't be.

    Sharing a picture is its owner's word that it is safe: docs/adr/0003.
    """
    visibility = visibility or Visibility.PRIVATE
    caption = caption.strip()
    _check(visibility, caption)
    shared = visibility != Visibility.PRIVATE
    fields = {
        "owner": user,
        "source": Source.UPLOADED,
        "visibility": visibility,
        "rating": Rating.SAFE if shared else Rating.UNRATED,
        "rating_source": "owner" if shared else "",
        "caption": caption,
        "alt": caption[:500],
    }
    intake, known = Intake(), _Known(user)
    for upload in uploads:
        try:
            intake.taken.append(_take(upload, known, fields))
        except Refused as refusal:
            intake.rejected.append(Rejected(upload.name, refusal.code, refusal.reason))
    return intake


def _take(upload: Upload, known: "_Known", fields: dict[str, Any]) -> Taken:
    if upload.is_too_large:
        raise too_large()
    there = _there(known.user, sha256_of(upload.path))
    if there is not None:
        return Taken(upload.name, bring_back(known.user, there), duplicate=True)
    with upload.path.open("rb") as file:
        decoded = decode_confined(file, upload.path.stat().st_size)
    try:
        image = _enter(upload.path, decoded, fields)
    except IntegrityError:  # the same bytes have come by another request meanwhile
        there = _there(known.user, sha256_of(upload.path))
        if there is None:
            raise
        return Taken(upload.name, there, duplicate=True)
    return Taken(upload.name, image, near=known.alike(image))


def _there(user: Any, sha256: str) -> Image | None:
    found: Image | None = Image.objects.filter(owner=user, sha256=sha256).select_related("owner").first()
    return found


def _enter(path: Path, decoded: Decoded, fields: dict[str, Any]) -> Image:
    metadata = decoded.metadata
    seed = metadata["parameters"].get("seed") if metadata else None
    if seed is not None and not 0 <= seed < _SEED_LIMIT:
        seed = None
    return enter_picture(path, facts=decoded.facts, also=partial(_note, metadata=metadata), seed=seed, **fields)


def _note(image: Image, *, metadata: dict[str, Any] | None) -> None:
    if metadata:
        ImportedMetadata.objects.create(image=image, **metadata)
    Event.record(image.owner, "upload", image)


class _Known:
    """The difference hashes of all that the user has, looked up once for all files of a request: no index of either
    database finds a number by how many of its bits differ."""

    def __init__(self, user: Any) -> None:
        self.user = user

    @cached_property
    def _hashes(self) -> list[tuple[UUID, int]]:
        hashed = Image.objects.owned_by(self.user).exclude(dhash=0)
        return [(pk, dhash) for pk, dhash in hashed.order_by().values_list("pk", "dhash") if dhash is not None]

    def alike(self, image: Image) -> tuple[UUID, ...]:
        """Of pictures in one flat colour (a hash of 0) nothing can be said."""
        if not image.dhash:
            return ()
        near = sorted(self._near(image.pk, image.dhash))
        self._hashes.append((image.pk, image.dhash))
        return tuple(dict.fromkeys(pk for _, pk in near))[:NEAR_SHOWN]

    def _near(self, own: UUID, dhash: int) -> Iterator[tuple[int, UUID]]:
        for pk, other in self._hashes:
            bits = ((dhash ^ other) & (2**64 - 1)).bit_count()
            if bits <= NEAR and pk != own:
                yield bits, pk


def _check(visibility: str, caption: str) -> None:
    errors = []
    if visibility not in Visibility.values:
        errors.append(FieldError("visibility", f"is {visibility!r}; choose from {', '.join(Visibility.values)}."))
    most = Image._meta.get_field("caption").max_length or 0
    if len(caption) > most:
        errors.append(FieldError("caption", f"has {len(caption)} characters; at most {most} are allowed."))
    if errors:
        raise Invalid(*errors)
