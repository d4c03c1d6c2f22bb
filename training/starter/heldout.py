"""Captioned pictures in a style the starter model never saw, black drawings on white, for teaching it to a LoRA."""

import random
from pathlib import Path

from PIL import Image

from training.starter.artwork import iconify_artwork
from training.starter.captions import BACKGROUNDS
from training.starter.packages import EMOJIBASE, HELD_OUT_PACKAGE, fetch_package
from training.starter.render import Placement, centred, place
from training.starter.things import read_things

STYLE_WORDS = "ink style"
CREDIT = "Fluent Emoji High Contrast, © Microsoft Corporation, MIT, https://github.com/microsoft/fluentui-emoji\n"


def render_held_out(work: Path, folder: Path, count: int, *, enlarge: int = 1, seed: int = 0) -> list[Path]:
    """Writes `count` pictures NAME.png with NAME.txt beside them and CREDIT.txt; returns the pictures."""
    root = work / "packages"
    root.mkdir(parents=True, exist_ok=True)
    artwork = iconify_artwork(fetch_package(HELD_OUT_PACKAGE, root))
    things = [thing for thing in read_things(fetch_package(EMOJIBASE, root)) if thing.code in artwork.codes]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "CREDIT.txt").write_text(CREDIT)
    paths = []
    for thing in random.Random(seed).sample(things, min(count, len(things))):
        path = folder / f"{thing.code}.png"
        pixels = place(centred(artwork.draw(thing.code)), BACKGROUNDS["white"], Placement())
        picture = Image.fromarray(pixels)
        picture.resize((picture.width * enlarge, picture.height * enlarge), Image.Resampling.LANCZOS).save(path)
        path.with_suffix(".txt").write_text(f"{thing.name}, {STYLE_WORDS}\n")
        paths.append(path)
    return paths
