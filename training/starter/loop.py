"""The training loop every stage shares: seeded by step, saved atomically, resumed after a kill."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Report = Callable[[str, int, int, str], None]
"""(stage, done, total, message)"""
Progress = Callable[[int, int, str], None]
"""(done, total, message)"""
Batch = Callable[[torch.Generator], Tensor]
"""Draws a batch with the generator it is given and returns its loss."""


PAUSE_SECONDS = 60.0
"""A step that took longer was interrupted (a stopped process, a sleeping laptop): the rest is not training time."""


@dataclass(frozen=True)
class Plan:
    steps: int
    learning_rate: float
    warmup: int = 50
    weight_decay: float = 0.01
    minutes: float | None = None
    """Wall-clock budget. The rate falls with whichever of steps and minutes is nearer its end."""
    seed: int = 0
    save_seconds: float = 120.0
    average: float = 0.0
    """Decay of the moving average of the weights; 0 keeps none."""


@dataclass
class Position:
    step: int = 0
    seconds: float = 0.0

    def share(self, plan: Plan) -> float:
        """How much of the plan is done, 0 to 1."""
        by_time = self.seconds / (plan.minutes * 60) if plan.minutes else 0.0
        return min(1.0, max(self.step / plan.steps, by_time))


def rate_factor(position: Position, plan: Plan) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(1.0, (position.step + 1) / max(1, plan.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * position.share(plan)))


def save_atomically(state: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


class Average:
    """Exponential moving average of a module's weights, updated every `every` steps."""

    def __init__(self, module: nn.Module, decay: float, every: int = 4) -> None:
        self.decay, self.every = decay**every, every
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        if step % self.every:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)


def train(
    modules: Mapping[str, nn.Module],
    batch: Batch,
    plan: Plan,
    checkpoint: Path,
    report: Progress,
    *,
    rates: Mapping[str, float] | None = None,
) -> None:
    """Trains `modules` in place to the end of `plan`, going on from `checkpoint` when there is one.

    `rates` gives modules a share of the plan's learning rate.

    Afterwards each module holds its moving average where the plan asks for one.
    """
    optimizer = _optimizer(modules, plan, rates or {})
    averages = {name: Average(module, plan.average) for name, module in modules.items()} if plan.average else {}
    position = _resume(checkpoint, modules, optimizer, averages)
    saved, smooth = time.monotonic(), None
    while position.share(plan) < 1.0:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * plan.learning_rate * rate_factor(position, plan)
        loss = _step(batch, optimizer, torch.Generator().manual_seed(plan.seed * 1_000_003 + position.step))
        smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
        position.step += 1
        for name, average in averages.items():
            average.update(modules[name], position.step)
        position.seconds += min(time.monotonic() - began, PAUSE_SECONDS)
        report(*_progress(position, plan), f"step {position.step}, loss {smooth:.4f}")
        if time.monotonic() - saved > plan.save_seconds:
            _save(checkpoint, modules, optimizer, averages, position)
            saved = time.monotonic()
    _save(checkpoint, modules, optimizer, averages, position)
    for name, average in averages.items():
        modules[name].load_state_dict(average.weights)


def _optimizer(modules: Mapping[str, nn.Module], plan: Plan, rates: Mapping[str, float]) -> torch.optim.AdamW:
    groups = [
        {
            "params": [value for value in module.parameters() if value.requires_grad],
            "share": rates.get(name, 1.0),
        }
        for name, module in modules.items()
    ]
    return torch.optim.AdamW(
        groups, lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay, fused=True
    )


def half_precision() -> torch.autocast:
    """bf16 where the processor multiplies in it (AMX, AVX-512 BF16); elsewhere it would be slower than float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled="avx512_bf16" in _cpu_abilities())


def _cpu_abilities() -> set[str]:
    return {name for name, has in torch.cpu.get_capabilities().items() if has is True}


def _step(batch: Batch, optimizer: torch.optim.Optimizer, draw: torch.Generator) -> float:
    # Plain attention: on CPUs the fused kernel's backward took a third of the UNet's whole step.
    with sdpa_kernel(SDPBackend.MATH):
        with half_precision():
            loss = batch(draw)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([value for group in optimizer.param_groups for value in group["params"]], 1.0)
    optimizer.step()
    return float(loss.detach())


def _progress(position: Position, plan: Plan) -> tuple[int, int]:
    return round(position.share(plan) * 1000), 1000


def _save(
    checkpoint: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    averages: Mapping[str, Average],
    position: Position,
) -> None:
    state = {
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "averages": {name: average.weights for name, average in averages.items()},
        "optimizer": optimizer.state_dict(),
        "step": position.step,
        "seconds": position.seconds,
    }
    save_atomically(state, checkpoint)


def _resume(
    checkpoint: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    averages: Mapping[str, Average],
) -> Position:
    if not checkpoint.exists():
        return Position()
    state = torch.load(checkpoint, weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    for name, average in averages.items():
        average.weights = state["averages"][name]
    optimizer.load_state_dict(state["optimizer"])
    return Position(state["step"], state["seconds"])
