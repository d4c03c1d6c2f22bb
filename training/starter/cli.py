"""The builder's command line, shared by `python -m training.starter` and `manage.py buildstarter`."""

import argparse
import ctypes
import os
import sys
import time
from pathlib import Path

from training.starter.packages import PackageError
from training.starter.recipe import Build, Recipe, RecipeError

STAGE_NAMES = (
    "fetch",
    "render",
    "autoencoder",
    "tokenizer",
    "latents",
    "text-encoder",
    "unet",
    "assemble",
    "evaluate",
)
QUIET_SECONDS = 30.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of <malloc.h>."""
KEPT_BYTES = 1 << 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work-dir", type=Path, default=Path("var/starter"), help="pictures and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("models/starter"), help="where the finished model goes")
    parser.add_argument("--from", dest="start", type=Path, help="go on from a finished model, such as models/starter")
    parser.add_argument("--stage", action="append", choices=STAGE_NAMES, help="only this stage (repeatable)")
    parser.add_argument("--redo", choices=STAGE_NAMES, help="forget this stage and all after it first")
    parser.add_argument(
        "--minutes", action="append", default=[], metavar="STAGE=N", help="time budget of a trained stage (repeatable)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads")


def read_minutes(values: list[str]) -> dict[str, float]:
    budgets = {}
    for value in values:
        stage, _, number = value.partition("=")
        try:
            budgets[stage] = float(number)
        except ValueError:
            raise RecipeError(f"--minutes {value!r} is not STAGE=N: write for example --minutes unet=90.") from None
        if not budgets[stage] > 0:
            raise RecipeError(f"--minutes {value!r} is no time to train in: give more than 0 minutes.")
    return budgets


def build_from(options: argparse.Namespace) -> Build:
    recipe = Recipe().with_minutes(read_minutes(options.minutes))
    if options.start and not (options.start / "model_index.json").is_file():
        raise RecipeError(f"--from {options.start} holds no model_index.json: name the folder of a finished model.")
    return Build(options.work_dir, options.out, recipe.gentler() if options.start else recipe, options.start)


class Bar:
    """Progress on stderr: one line redrawn on a terminal, a line every half minute in a log."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.stage = ""
        self.drawn = 0.0

    def __call__(self, stage: str, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        due = now - self.drawn > (0.2 if self.live else QUIET_SECONDS)
        if not (due or stage != self.stage or done == total):
            return
        self.stage, self.drawn = stage, now
        filled = round(24 * done / max(1, total))
        line = f"{stage:13}[{'#' * filled}{'.' * (24 - filled)}] {done / max(1, total):4.0%} {message}"
        sys.stderr.write(f"\r\x1b[K{line}" if self.live else f"{line}\n")
        if self.live and done == total:
            sys.stderr.write("\n")
        sys.stderr.flush()


def keep_memory() -> None:
    """Has glibc keep what each step frees for the next one: giving it back took a seventh of every step."""
    if sys.platform == "linux" and hasattr(glibc := ctypes.CDLL(None), "mallopt"):
        for threshold in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            glibc.mallopt(threshold, KEPT_BYTES)


def run(options: argparse.Namespace) -> None:
    """Raises RecipeError or PackageError with a sentence for the person at the terminal."""
    build = build_from(options)
    import torch

    from training.starter.stages import forget_from, run_stages

    keep_memory()
    torch.set_num_threads(options.threads)
    if options.redo:
        forget_from(build, options.redo)
    run_stages(build, Bar(), names=tuple(options.stage or STAGE_NAMES))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.starter", description="Builds the starter model.")
    add_arguments(parser)
    try:
        run(parser.parse_args(arguments))
    except (RecipeError, PackageError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; the same command goes on from the last checkpoint.\n")
        return 130
    return 0
