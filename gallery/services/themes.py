"""A few words to begin with: `GET /themes/random`."""

import secrets
from dataclasses import dataclass

STYLES = (
    "linocut", "gouache on rough paper", "ink and wash", "stained glass", "botanical plate",
    "charcoal sketch", "tin toy", "paper collage", "fresco", "woven tapestry", "long-exposure photograph",
    "cyanotype", "enamel poster", "clay animation still", "mosaic", "pencil and watercolour",
    "risograph print", "oil study", "carved wood relief", "blueprint",
)  # fmt: skip
PLACES = (
    "a harbour at low tide", "an observatory on a ridge", "a night market", "a flooded library",
    "a tea terrace", "the last tram stop", "a greenhouse in winter", "a salt flat",
    "a rooftop full of antennas", "a mangrove channel", "a clockmaker's window", "a village on stilts",
    "a quarry lake", "an empty fairground", "a lighthouse kitchen", "a pass between two valleys",
    "a canal behind the mills", "an orchard wall", "a dry fountain", "a glacier's edge",
)  # fmt: skip
LIGHTS = (
    "first light", "noon without shadows", "light through blinds", "lanterns in fog",
    "the minute before a storm", "moonlight on snow", "a single desk lamp", "dusk with one star",
    "sun behind thin cloud", "neon on wet stone", "firelight", "light from below the water",
)  # fmt: skip
PALETTES = (
    "rust and pale blue", "moss, bone and black", "saffron and slate", "coral against grey",
    "indigo and brass", "rose, sand and olive", "two greens and a red", "chalk white and cobalt",
    "plum and apricot", "ochre and smoke", "turquoise and brick", "lemon on charcoal",
)  # fmt: skip


@dataclass(frozen=True)
class Theme:
    style: str
    place: str
    light: str
    palette: str

    @property
    def prompt(self) -> str:
        return f"{self.place}, {self.light}, {self.style}, {self.palette}"


def random_theme() -> Theme:
    return Theme(*(secrets.choice(words) for words in (STYLES, PLACES, LIGHTS, PALETTES)))
