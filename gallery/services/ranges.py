"""One range of bytes: RFC 9110, section 14."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


class NotSatisfiable(Exception):
    """The range lies behind the end."""


@dataclass(frozen=True)
class ByteRange:
    """`first` and `last` inclusive, of `total`."""

    first: int
    last: int
    total: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    @property
    def header(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.total}"


def parse_range(header: str, total: int) -> ByteRange | None:
    """None when the whole is to be sent: no range, several, or one that isn't spelled right."""
    match = _RANGE.match(header.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        return _suffix(int(last), total)
    if last and int(last) < int(first):
        return None
    if int(first) >= total:
        raise NotSatisfiable
    return ByteRange(int(first), min(int(last) if last else total - 1, total - 1), total)


def _suffix(length: int, total: int) -> ByteRange:
    if length == 0 or total == 0:
        raise NotSatisfiable
    return ByteRange(max(0, total - length), total - 1, total)
