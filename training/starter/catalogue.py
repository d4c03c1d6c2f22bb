"""The things the model knows and one still picture of each in every style: what evaluation searches in."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.starter.artwork import Artwork, bitmap_artwork, iconify_artwork
from training.starter.captions import Subject
from training.starter.packages import EMOJIBASE, FLUENT_3D, FLUENT_FLAT, NOTO, TRAINING_PACKAGES, fetch_package
from training.starter.render import Placement, Sample, render_samples
from training.starter.things import STYLES, Thing, drawn_in_all, read_things


@dataclass(frozen=True)
class Sources:
    """What rendering starts from."""

    things: list[Thing]
    artworks: dict[str, Artwork]


@dataclass(frozen=True)
class Catalogue:
    things: list[Thing]
    pictures: dict[str, npt.NDArray[np.uint8]]
    """Style to (things, 64, 64, 3)."""


def fetch_sources(work: Path) -> Sources:
    root = work / "packages"
    root.mkdir(parents=True, exist_ok=True)
    folders = {package.name: fetch_package(package, root) for package in TRAINING_PACKAGES}
    artworks = {
        "3d": bitmap_artwork(folders[FLUENT_3D.name] / "assets"),
        "flat": iconify_artwork(folders[FLUENT_FLAT.name]),
        "cartoon": iconify_artwork(folders[NOTO.name]),
    }
    return make_sources(read_things(folders[EMOJIBASE.name]), artworks)


def make_sources(things: Sequence[Thing], artworks: dict[str, Artwork]) -> Sources:
    return Sources(drawn_in_all(things, [artwork.codes for artwork in artworks.values()]), artworks)


def still_picture(thing: Thing, style: str, background: str = "white") -> Sample:
    return Sample(0, Subject(thing, style, background), (), Placement())


def render_catalogue(sources: Sources) -> Catalogue:
    pictures = {
        style: np.stack(
            list(render_samples([still_picture(thing, style) for thing in sources.things], sources.artworks))
        )
        for style in STYLES
    }
    return Catalogue(sources.things, pictures)


def load_catalogue(work: Path) -> Catalogue:
    """From the cache in `work`, which is filled on first use: four small downloads and half a minute of rendering."""
    names, cache = work / "catalogue.json", work / "catalogue.npz"
    if not cache.exists():
        catalogue = render_catalogue(fetch_sources(work))
        names.write_text(json.dumps([asdict(thing) for thing in catalogue.things]))
        partial = work / ".catalogue.partial.npz"
        np.savez_compressed(partial, **catalogue.pictures)  # type: ignore[arg-type]
        partial.rename(cache)
    things = [Thing(**{**row, "keywords": tuple(row["keywords"])}) for row in json.loads(names.read_text())]
    with np.load(cache) as stored:
        return Catalogue(things, {style: stored[style] for style in STYLES})
