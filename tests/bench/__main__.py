"""`make bench`: what Imagineer costs beside the same work done plainly, as ratios measured in one run.

Rounds alternate between us and the baseline, and medians are reported, so that a machine that is busy now and then
harms both alike. Nothing here fails a build: it prints a table.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagineer.settings")
django.setup()

from gallery.models import Generation  # noqa: E402
from imagineer import fairness  # noqa: E402
from tests.bench.gallery import MOST_QUERIES, in_galleries  # noqa: E402
from tests.bench.gallery import compare as compare_galleries  # noqa: E402
from tests.bench.studio import open_studio  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS = 20
JOBS = 20


@dataclass
class Row:
    name: str
    ours: float
    baseline: float
    unit: str
    ratio: float
    target: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Imagineer's benchmarks.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per measurement (3)")
    parser.add_argument("--only", choices=["queue", "latency", "loras", "eta", "gallery"], help="one measurement")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_head()
        rows = measure(Path(folder), options.rounds, options.only)
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in rows], indent=1))


def measure(folder: Path, rounds: int, only: str | None) -> list[Row]:
    rows = many_pictures(folder) if only in (None, "gallery") else []
    return rows if only == "gallery" else rows + measure_studio(folder, rounds, only)


def measure_studio(folder: Path, rounds: int, only: str | None) -> list[Row]:
    with open_studio(folder) as bench:
        wanted: dict[str, Callable[[], Row]] = {
            "queue": lambda: through_the_queue(bench, folder, rounds),
            "latency": lambda: to_the_first_step(bench, max(5, rounds * 3)),
            "loras": lambda: lora_changes(bench, folder, rounds),
            "eta": lambda: promised_ends(bench),
        }
        return [print_row(run()) for name, run in wanted.items() if only in (None, name)]


def many_pictures(folder: Path) -> list[Row]:
    """Server time of the gallery's pages with 200 000 pictures, against 2 000; at most 12 queries each."""
    rows = []
    with in_galleries():
        for name, few, many, queries in compare_galleries(folder):
            assert queries <= MOST_QUERIES, f"{name} takes {queries} queries"
            rows.append(print_row(Row(name, many * 1000, few * 1000, "ms", many / few, "≤ 1.3, 100 ms")))
    return rows


def through_the_queue(bench: Any, folder: Path, rounds: int) -> Row:
    """Pictures a second: 20 jobs of 20 steps through the queue, against a plain loop with the same model."""
    side = bench.model.width
    bench.finish([bench.order(steps=STEPS)])
    ours, plain = [], []
    for _ in range(rounds):
        plain.append(baseline("loop", bench.model.location, STEPS, side, folder, JOBS))
        started = time.perf_counter()
        bench.finish([bench.order(steps=STEPS, seed=seed) for seed in range(JOBS)])
        ours.append(time.perf_counter() - started)
    mine, theirs = JOBS / statistics.median(ours), JOBS / statistics.median(plain)
    return Row(f"{JOBS} jobs of {STEPS} steps", mine, theirs, "pictures/s", mine / theirs, "≥ 0.9")


def to_the_first_step(bench: Any, times: int) -> Row:
    """From POST to the report of the child's first step, worker warm and idle."""
    bench.finish([bench.order(steps=STEPS)])
    taken = []
    for number in range(times):
        started = time.perf_counter()
        generation = bench.post(steps=STEPS, seed=number)
        bench.until_first_step(generation)
        taken.append(time.perf_counter() - started)
        bench.finish([generation])
    median = statistics.median(taken)
    return Row("POST to first step", median, 0.5, "s", median / 0.5, "< 1 (0.5 s)")


def lora_changes(bench: Any, folder: Path, rounds: int) -> Row:
    """Ten pictures with three changes of LoRA, against loading the pipeline anew at each change."""
    loras = bench.make_loras(folder, 4)
    order = [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    side = bench.model.width
    ours, plain = [], []
    for _ in range(rounds):
        paths = [str(loras[index].path) for index in order]
        plain.append(baseline("reload", bench.model.location, STEPS, side, folder, *paths))
        bench.finish([bench.order(steps=STEPS, lora=loras[0])])
        started = time.perf_counter()
        bench.finish([bench.order(steps=STEPS, seed=seed, lora=loras[index]) for seed, index in enumerate(order)])
        ours.append(time.perf_counter() - started)
    mine, theirs = statistics.median(ours), statistics.median(plain)
    return Row("10 pictures, 3 LoRA changes", mine, theirs, "s", mine / theirs, "< 1")


def promised_ends(bench: Any) -> Row:
    """What eight people in the queue are told, against when their pictures are there; median of the eight."""
    bench.finish([bench.order(steps=STEPS) for _ in range(3)])
    waiting = [bench.order(steps=STEPS, seed=seed) for seed in range(8)]
    asked = time.time()
    told = fairness.forecast("generation")
    bench.finish(waiting)
    ends = [Generation.objects.get(pk=run.pk).finished_at.timestamp() - asked for run in waiting]
    promised = [told[run.pk].seconds for run in waiting]
    ratio = statistics.median(promise / end for promise, end in zip(promised, ends, strict=True))
    return Row("promised end, 8 in the queue", promised[-1], ends[-1], "s", ratio, "0.7 to 1.4")


def baseline(*arguments: object) -> float:
    command = [sys.executable, "-m", "tests.bench.plain", *map(str, arguments)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(answer.stdout.strip().splitlines()[-1])


def print_head() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, model {settings.STARTER_MODEL.name}")
    print(f"{'measurement':30} {'ours':>10} {'baseline':>10} {'unit':12} {'ratio':>6}  target", flush=True)


def print_row(row: Row) -> Row:
    numbers = f"{row.ours:10.3f} {row.baseline:10.3f} {row.unit:12} {row.ratio:6.2f}"
    print(f"{row.name:30} {numbers}  {row.target}", flush=True)
    return row


if __name__ == "__main__":
    main()
