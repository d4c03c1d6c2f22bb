import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from PIL import Image

from training.starter import evaluate
from training.starter.captions import plain_caption
from training.starter.catalogue import fetch_sources, load_catalogue, render_catalogue
from training.starter.cli import read_minutes
from training.starter.evaluate import Defaults, Drawer, ask_for_things
from training.starter.heldout import render_held_out
from training.starter.recipe import Build, Recipe, RecipeError
from training.starter.stages import STAGES, forget_from, marker, run_stages
from training.tests.starter.conftest import THINGS, tiny_recipe

DEFAULTS = {"defaults": {"width": 64, "height": 64, "steps": 2, "guidance": 2.0, "sampler": "DDIM"}}


def silent(stage: str, done: int, total: int, message: str) -> None:
    pass


def give_defaults(build: Build) -> None:
    build.out.mkdir(exist_ok=True)
    (build.out / "imagineer.json").write_text(json.dumps(DEFAULTS))


def test_things_are_those_that_every_style_draws(work: Path):
    sources = fetch_sources(work)
    assert [thing.name for thing in sources.things] == [name for name, _, _ in THINGS]
    assert set(sources.artworks) == {"3d", "flat", "cartoon"}


def test_catalogue_is_rendered_once_and_read_again(work: Path):
    first = load_catalogue(work)
    (work / "packages").unlink()
    again = load_catalogue(work)
    assert again.things == first.things
    assert all(np.array_equal(again.pictures[style], first.pictures[style]) for style in first.pictures)


def test_still_pictures_have_a_white_margin_and_the_colour_of_the_thing(work: Path):
    pictures = render_catalogue(fetch_sources(work)).pictures["flat"]
    assert (pictures[:, :2] == 255).all()
    assert pictures[0, 32, 32].tolist() == pytest.approx([0xD0, 0x20, 0x20], abs=2)
    assert pictures[1, 32, 32].tolist() == pytest.approx([0x20, 0x50, 0xD0], abs=2)


def test_render_is_deterministic(build: Build):
    STAGES["render"](build, silent)
    first = build.pictures.read_bytes()
    STAGES["render"](build, silent)
    assert build.pictures.read_bytes() == first
    assert np.load(build.pictures).shape == (len(THINGS) * 3 * 2, 64, 64, 3)


def test_held_out_style_is_written_with_captions_and_credit(work: Path, tmp_path: Path):
    paths = render_held_out(work, tmp_path / "pictures", 4, enlarge=2)
    assert len({path.name for path in paths}) == 4
    with Image.open(paths[0]) as picture:
        assert picture.size == (128, 128)
    assert paths[0].with_suffix(".txt").read_text().endswith(", ink style\n")
    assert "MIT" in (tmp_path / "pictures/CREDIT.txt").read_text()


@pytest.mark.parametrize("value", ["unet", "unet=soon", "unet=0", "tokenizer=3"])
def test_a_senseless_time_budget_is_refused(value: str):
    with pytest.raises(RecipeError, match="minutes"):
        Recipe().with_minutes(read_minutes([value]))


def test_command_refuses_a_start_that_is_no_model(tmp_path: Path):
    with pytest.raises(CommandError, match=r"holds no model_index\.json"):
        call_command("buildstarter", "--from", str(tmp_path), "--work-dir", str(tmp_path))


@pytest.mark.slow
def test_a_whole_build_draws_evaluates_and_can_be_gone_on_from(build: Build, capsys: pytest.CaptureFixture[str]):
    give_defaults(build)
    run_stages(build, silent)
    figures = json.loads((build.work / "evaluation.json").read_text())
    assert figures["retrieval"]["count"] == 3
    assert figures["defaults"] == {"steps": 2, "guidance": 2.0, "sampler": "DDIM"}
    assert evaluate.main(["--model", str(build.out), "--work-dir", str(build.work), "--count", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["retrieval"] == figures["retrieval"]
    assert not any("_name_or_path" in path.read_text() for path in build.out.rglob("config.json"))
    further = Build(build.work, build.work / "further", tiny_recipe(), start=build.out, evaluated=3)
    forget_from(further, "autoencoder")
    give_defaults(further)
    run_stages(further, silent)
    first, second = (Drawer(folder).pipeline.unet.conv_in.weight for folder in (build.out, further.out))
    assert not torch.equal(first, second), "trained further"
    assert torch.allclose(first, second, atol=0.1), "from where it was"


@pytest.mark.slow
def test_same_request_draws_the_same_picture(build: Build):
    run_stages(build, silent, names=[name for name in STAGES if name != "evaluate"])
    drawer = Drawer(build.out, Defaults(2, 2.0))
    requests = ask_for_things(load_catalogue(build.work).things, 2)
    assert requests[0].prompt == plain_caption(requests[0].subject)
    both = drawer.draw(requests)
    assert np.array_equal(drawer.draw(requests), both)
    alone = drawer.draw(requests[1:])[0]
    assert np.abs(alone.astype(int) - both[1]).max() <= 2


RUN = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from training.tests.starter.conftest import tiny_recipe
from training.starter.recipe import Build
from training.starter.stages import run_stages
torch.set_num_threads(1)
work = Path(sys.argv[1])
def report(stage, done, total, message):
    print(stage, message, flush=True)
names = ("fetch", "render", "autoencoder", "tokenizer", "latents", "text-encoder", "unet")
run_stages(Build(work, work / "out", tiny_recipe(int(sys.argv[3]))), report, names=names)
"""


def start(work: Path, steps: int) -> "subprocess.Popen[str]":
    root = str(Path(__file__).parents[3])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(work), root, str(steps)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )


@pytest.mark.slow
def test_a_build_killed_in_each_training_goes_on_from_its_checkpoint(work: Path):
    for stage in ("autoencoder", "text-encoder", "unet"):
        child = start(work, 12)
        assert child.stdout is not None
        with child.stdout as lines:
            next(line for line in lines if line.startswith(f"{stage} step 4"))
            child.send_signal(signal.SIGKILL)
        child.wait()
        reached = torch.load(work / f"checkpoints/{stage}.pt", weights_only=True)["step"]
        assert 3 <= reached <= 12
        assert not (work / "done" / stage).exists()
    child = start(work, 12)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    steps = [int(line.split()[2].rstrip(",")) for line in out.splitlines() if line.startswith("unet step")]
    assert steps[-1] == 12
    assert steps[0] > 3
    assert marker(Build(work, work / "out"), "unet").exists()
