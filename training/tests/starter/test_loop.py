from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.starter.loop import Plan, Position, rate_factor, train

PLAN = Plan(steps=12, learning_rate=0.05, warmup=2, save_seconds=0.0, average=0.9, seed=3)


class Killed(Exception):
    pass


def line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def fit(module: nn.Linear, checkpoint: Path, plan: Plan = PLAN, *, dies_at: int | None = None) -> int:
    steps = 0

    def batch(draw: torch.Generator) -> Tensor:
        nonlocal steps
        if steps == dies_at:
            raise Killed
        steps += 1
        inputs = torch.randn(8, 3, generator=draw)
        return (module(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    train({"line": module}, batch, plan, checkpoint, lambda done, total, message: None)
    return steps


def test_a_killed_training_ends_where_an_undisturbed_one_does(tmp_path: Path):
    undisturbed, killed, resumed = line(), line(), line()
    fit(undisturbed, tmp_path / "a.pt")
    with pytest.raises(Killed):
        fit(killed, tmp_path / "b.pt", dies_at=7)
    assert fit(resumed, tmp_path / "b.pt") == 5
    assert torch.equal(undisturbed.weight, resumed.weight)


def test_finished_training_is_not_repeated(tmp_path: Path):
    first, again = line(), line()
    fit(first, tmp_path / "a.pt")
    assert fit(again, tmp_path / "a.pt") == 0
    assert torch.equal(first.weight, again.weight)


def test_training_learns(tmp_path: Path):
    module = line()
    fit(module, tmp_path / "a.pt", replace(PLAN, steps=300, average=0.0))
    assert torch.allclose(module.weight, torch.ones(1, 3), atol=0.1)


def test_rate_warms_up_and_falls_to_zero():
    plan = Plan(steps=100, learning_rate=1.0, warmup=10)
    assert rate_factor(Position(0), plan) == pytest.approx(0.1)
    assert rate_factor(Position(50), plan) == pytest.approx(0.5)
    assert rate_factor(Position(100), plan) == pytest.approx(0.0)


def test_time_budget_ends_training_before_its_steps():
    plan = Plan(steps=1000, learning_rate=1.0, minutes=2)
    assert Position(10, seconds=60).share(plan) == pytest.approx(0.5)
    assert Position(10, seconds=121).share(plan) == 1.0
