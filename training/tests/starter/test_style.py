from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from training.starter import style
from training.starter.evaluate import Drawer
from training.starter.recipe import Build
from training.starter.stages import STAGES, run_stages
from training.starter.things import Thing
from training.tests.starter.test_stages import give_defaults, silent


def test_only_things_that_the_lesson_did_not_show_are_asked_for(tmp_path):
    things = [Thing(code, code, (), "objects", "tool") for code in ("1f000", "1f001", "1f002")]
    assert [thing.code for thing in style.unseen_things(things, [tmp_path / "1f001.png"])] == ["1f000", "1f002"]


@pytest.mark.slow
def test_a_lora_learns_the_held_out_style_and_leaves_the_model_alone(build: Build, monkeypatch: pytest.MonkeyPatch):
    give_defaults(build)
    run_stages(build, silent, names=[name for name in STAGES if name != "evaluate"])
    before = Drawer(build.out).pipeline.unet.state_dict()
    monkeypatch.setattr(style, "EXAMPLES", 3)
    folder = build.work / "style"
    folder.mkdir()
    taught, sheet = style.demonstrate(build.out, build.work, folder, replace(style.PLAN, steps=8, minutes=None))
    assert taught.seconds > 0
    assert sheet.size == (16 * 64, 64)
    learned = load_file(folder / "held-out-style.safetensors")
    assert {name.rsplit(".", 2)[-2] for name in learned} == {"lora_A", "lora_B"}
    assert any(value.abs().sum() > 0 for name, value in learned.items() if "lora_B" in name)
    after = Drawer(build.out).pipeline.unet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
