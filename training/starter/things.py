"""What the starter model can draw: emoji with a name, keywords and a picture in each of its styles."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STYLES = ("3d", "flat", "cartoon")

GROUPS = {
    "smileys-emotion",
    "animals-nature",
    "food-drink",
    "travel-places",
    "activities",
    "objects",
}
EXTRA_SUBGROUPS = {"geometric", "hand-fingers-partial", "hand-fingers-closed"}
LEFT_OUT_LABELS = re.compile(r"^(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)[ -](o’clock|thirty)$")
"""Twenty-four clock faces that differ by one hand of two pixels."""


@dataclass(frozen=True)
class Thing:
    code: str
    """Code points in hexadecimal, lower case, joined by hyphens, without the variation selector: `1f431`."""
    name: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str


def plain_code(code: str) -> str:
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def read_things(emojibase: Path) -> list[Thing]:
    """Every emoji of the chosen groups, in Unicode's order, by emojibase's English file."""
    messages = json.loads((emojibase / "en/messages.json").read_text())
    groups = {entry["order"]: entry["key"] for entry in messages["groups"]}
    subgroups = {entry["order"]: entry["key"] for entry in messages["subgroups"]}
    rows = json.loads((emojibase / "en/data.json").read_text())
    things = [_thing(row, groups, subgroups) for row in rows if "group" in row]
    return [thing for thing in things if is_drawable(thing)]


def _thing(row: dict[str, Any], groups: dict[int, str], subgroups: dict[int, str]) -> Thing:
    name = row["label"].lower().replace("’", "'")
    keywords = tuple(word.lower() for word in row.get("tags", ()) if word.lower() != name)
    return Thing(plain_code(row["hexcode"]), name, keywords, groups[row["group"]], subgroups[row["subgroup"]])


def is_drawable(thing: Thing) -> bool:
    if LEFT_OUT_LABELS.match(thing.name.replace("'", "’")):
        return False
    return thing.group in GROUPS or thing.subgroup in EXTRA_SUBGROUPS


def drawn_in_all(things: Iterable[Thing], available: Iterable[set[str]]) -> list[Thing]:
    """The things that every style has a picture of."""
    common = set.intersection(*available)
    return [thing for thing in things if thing.code in common]
