"""The language the starter model understands: "red apple, 3d style, navy background"."""

import random
from dataclasses import dataclass

from training.starter.things import Thing

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (18, 18, 20),
    "gray": (150, 152, 158),
    "navy": (24, 32, 84),
    "blue": (58, 116, 226),
    "light blue": (164, 208, 246),
    "teal": (20, 138, 138),
    "green": (64, 160, 76),
    "mint": (186, 236, 208),
    "yellow": (252, 214, 70),
    "orange": (246, 146, 44),
    "red": (206, 44, 48),
    "pink": (248, 176, 206),
    "purple": (124, 62, 176),
    "beige": (240, 226, 200),
}
STYLE_WORDS = {
    "3d": ("3d style",) * 5 + ("3d", "3d render"),
    "flat": ("flat style",) * 5 + ("flat", "flat icon"),
    "cartoon": ("cartoon style",) * 5 + ("cartoon", "cartoon drawing"),
}
UNSAID_STYLE = "3d"
"""A caption without a style word belongs to a picture of this style, so that a bare prompt has one answer."""


@dataclass(frozen=True)
class Subject:
    thing: Thing
    style: str
    background: str


def write_caption(subject: Subject, draw: random.Random) -> str:
    """One of the many ways to say `subject`; always the name or what emojibase files under it."""
    parts = [_name(subject.thing, draw)]
    if subject.style != UNSAID_STYLE or draw.random() < 0.6:
        parts.append(draw.choice(STYLE_WORDS[subject.style]))
    if subject.background != "white" or draw.random() < 0.25:
        parts.append(f"{subject.background} background")
    if len(parts) == 3 and draw.random() < 0.1:
        parts[1:] = reversed(parts[1:])
    return ", ".join(parts)


def plain_caption(subject: Subject) -> str:
    """The caption that evaluation and documentation use: name, style, background."""
    background = "" if subject.background == "white" else f", {subject.background} background"
    return f"{subject.thing.name}, {subject.style} style{background}"


def _name(thing: Thing, draw: random.Random) -> str:
    name = thing.name
    roll = draw.random()
    if roll < 0.15:
        return f"{_article(name)} {name}"
    if roll < 0.3 and thing.keywords:
        return f"{name}, {draw.choice(thing.keywords)}"
    if roll < 0.36 and len(thing.keywords) > 1:
        return " ".join(draw.sample(thing.keywords, 2))
    return name


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"
