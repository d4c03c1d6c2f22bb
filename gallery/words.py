"""The words of a text as search keeps them, and of what somebody looks for.

Both databases are given words of this making only, so that they cut texts alike and no query can be malformed.
"""

import re
import unicodedata
from dataclasses import dataclass

WORD_LIMIT = 64  # characters of one word that count
DOCUMENT_LIMIT = 8000  # words of one picture that count
PHRASE_LIMIT = 32  # FTS5 refuses expressions of more than 256 parts
# Japanese, Chinese and Thai put no spaces between words: each character counts as one, and words become phrases.
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+")
_QUERY = re.compile(r'"([^"]*)(?:"|$)|([^\s"]+)')
_QUOTES = str.maketrans(dict.fromkeys("“”„«»", '"'))


@dataclass(frozen=True)
class Phrase:
    """Words in a row; the last one may go on unless the phrase is `whole`."""

    words: tuple[str, ...]
    whole: bool


def words_of(text: str) -> list[str]:
    """Case, accents and punctuation don't count."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(char for char in folded if not unicodedata.combining(char))
    return [word[:WORD_LIMIT] for word in _WORD.findall(bare)]


def document_of(*texts: str) -> str:
    """One text for a picture out of several; one that another begins with is not told twice."""
    parts = [" ".join(words_of(text)) for text in texts]
    kept = [part for place, part in enumerate(parts) if not _is_told(part, parts, place)]
    return " ".join(" ".join(kept).split(" ")[:DOCUMENT_LIMIT])


def phrases_of(query: str) -> list[Phrase]:
    """All of these have to be found. In double quotes: whole words in this order; else a word may go on."""
    found = []
    for quoted, bare in _QUERY.findall(query.translate(_QUOTES)):
        words = tuple(words_of(quoted or bare))
        if words:
            found.append(Phrase(words, whole=bool(quoted) or len("".join(words)) == 1))
    return list(dict.fromkeys(found))[:PHRASE_LIMIT]


def _is_told(part: str, parts: list[str], place: int) -> bool:
    if not part:
        return True
    return any(
        other.startswith(part) and (len(other) > len(part) or at < place)
        for at, other in enumerate(parts)
        if at != place
    )
