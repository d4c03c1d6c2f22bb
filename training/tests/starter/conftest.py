"""A world of six things: artwork, names and packages as npm lays them out, drawn here and small enough to train on."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from training.starter.autoencoder import AutoencoderSize
from training.starter.loop import Plan
from training.starter.packages import EMOJIBASE, FLUENT_3D, FLUENT_FLAT, FLUENT_HIGH_CONTRAST, NOTO
from training.starter.recipe import Build, Recipe
from training.starter.text_encoder import TextSize
from training.starter.unet import UNetSize

SHAPES = {
    "circle": '<circle cx="16" cy="16" r="12" fill="{}"/>',
    "square": '<rect x="5" y="5" width="22" height="22" fill="{}"/>',
    "bar": '<rect x="12" y="2" width="8" height="28" fill="{}"/>',
}
COLOURS = {"red": "#d02020", "blue": "#2050d0"}
THINGS = [(f"{colour} {shape}", shape, value) for shape in SHAPES for colour, value in COLOURS.items()]


def code(index: int) -> str:
    return f"1F{index:03X}"


def write_icons(folder: Path, *, ring: str) -> None:
    folder.mkdir(parents=True)
    icons = {
        f"thing-{index}": {"body": SHAPES[shape].format(fill) + ring} for index, (_, shape, fill) in enumerate(THINGS)
    }
    (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 32, "height": 32, "aliases": {}}))
    codes = {code(index).lower(): f"thing-{index}" for index in range(len(THINGS))}
    (folder / "chars.json").write_text(json.dumps(codes))


def write_bitmaps(folder: Path) -> None:
    folder.mkdir(parents=True)
    for index, (_, shape, fill) in enumerate(THINGS):
        picture = Image.new("RGBA", (64, 64))
        draw = ImageDraw.Draw(picture)
        outline = {"circle": draw.ellipse, "square": draw.rectangle, "bar": draw.rectangle}[shape]
        outline((24, 4, 40, 60) if shape == "bar" else (8, 8, 56, 56), fill=fill)
        picture.save(folder / f"{code(index).lower()}.webp", lossless=True)


def write_names(folder: Path) -> None:
    (folder / "en").mkdir(parents=True)
    rows = [
        {"hexcode": code(index), "label": name, "tags": [shape, "shape"], "group": 7, "subgroup": 82}
        for index, (name, shape, _) in enumerate(THINGS)
    ]
    rows.append({"hexcode": "1F550", "label": "one o’clock", "tags": ["clock"], "group": 7, "subgroup": 82})
    rows.append({"hexcode": "1F1E6", "label": "regional indicator A"})
    (folder / "en/data.json").write_text(json.dumps(rows))
    messages = {
        "groups": [{"order": 7, "key": "objects"}],
        "subgroups": [{"order": 82, "key": "other-object"}],
    }
    (folder / "en/messages.json").write_text(json.dumps(messages))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with all packages unpacked in it."""
    work = tmp_path_factory.mktemp("starter")
    root = work / "packages"
    write_names(root / EMOJIBASE.folder)
    write_bitmaps(root / FLUENT_3D.folder / "assets")
    write_icons(root / FLUENT_FLAT.folder, ring="")
    write_icons(root / NOTO.folder, ring='<circle cx="16" cy="16" r="3" fill="#ffd000"/>')
    write_icons(root / FLUENT_HIGH_CONTRAST.folder, ring='<circle cx="16" cy="16" r="5" fill="#101010"/>')
    return work


@pytest.fixture
def work(packages: Path, tmp_path: Path) -> Path:
    (tmp_path / "packages").symlink_to(packages / "packages")
    return tmp_path


def tiny_recipe(steps: int = 3) -> Recipe:
    plan = Plan(steps=steps, learning_rate=1e-3, warmup=1, save_seconds=0.0)
    return Recipe(
        copies=2,
        captions=2,
        vocabulary=300,
        autoencoder_size=AutoencoderSize(channels=(8, 8, 8), groups=4),
        text_size=TextSize(hidden=16, layers=1, heads=2, intermediate=16),
        unet_size=UNetSize(channels=(8, 16, 16), heads=2, groups=4),
        batch_sizes={"autoencoder": 2, "text-encoder": 4, "unet": 4},
        plans={"autoencoder": plan, "text-encoder": plan, "unet": plan},
    )


@pytest.fixture
def build(work: Path) -> Build:
    return Build(work, work / "out", tiny_recipe(), evaluated=3)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
