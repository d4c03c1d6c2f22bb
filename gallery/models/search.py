"""One text document per picture, and how each database finds words in it.

PostgreSQL has a GIN index over `to_tsvector('simple', text)`. SQLite has the FTS5 table `gallery_searchentry`, which
triggers of the migration keep equal to the documents; a migration that makes SQLite build the documents' table anew
has to make these triggers anew, too.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models.lookups import Lookup

from gallery.words import Phrase

_TIES = 1024  # places for pictures of one microsecond


class SearchText(models.TextField):  # type: ignore[type-arg]  # only its stubs take arguments
    pass


@SearchText.register_lookup
class Matches(Lookup):
    """`text__matches=[Phrase, …]`: holds all of the phrases. Words contain letters and digits only, no syntax."""

    lookup_name = "matches"
    prepare_rhs = False

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} MATCH %s", (*params, " AND ".join(map(_fts5, self.rhs)))

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        wanted = " & ".join(map(_tsquery, self.rhs))
        return f"to_tsvector('simple', {left}) @@ to_tsquery('simple', %s)", (*params, wanted)


class SearchDocument(models.Model):
    """`id` is the picture's moment in microseconds, times 1024, and a tie-breaker: newest first is falling ids.

    FTS5 can stream what it finds in the order of ids and in no other, so that a common word costs as little as a rare
    one.
    """

    id = models.BigIntegerField(primary_key=True)
    image = models.OneToOneField("gallery.Image", on_delete=models.CASCADE, related_name="document")
    text = SearchText()

    objects: ClassVar[Any] = models.Manager()

    def __str__(self) -> str:
        return self.text[:80]


class SearchEntry(models.Model):
    """SQLite's FTS5 table; PostgreSQL has none."""

    document = models.OneToOneField(
        SearchDocument,
        primary_key=True,
        db_column="rowid",
        db_constraint=False,
        on_delete=models.DO_NOTHING,
        related_name="entry",
    )
    text = SearchText()

    class Meta:
        managed = False
        required_db_vendor = "sqlite"

    def __str__(self) -> str:
        return str(self.pk)


def place_of(moment: datetime, image_id: UUID) -> int:
    """Where a picture's document stands among all; free unless a picture of the same microsecond has taken it."""
    return first_place(moment) + image_id.int % _TIES


def first_place(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * _TIES


def _fts5(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"{"" if phrase.whole else " *"}'


def _tsquery(phrase: Phrase) -> str:
    *first, last = (f"'{word}'" for word in phrase.words)
    return f"({' <-> '.join([*first, last if phrase.whole else f'{last}:*'])})"
